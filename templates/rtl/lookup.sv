// Staircase per channel, read from a table of all its values.
//
//   y = table[c, x]
//
// CHANNELS  channels of a pixel
// PE        channels a beat, divides CHANNELS
// IN_BITS   bits of x
// OUT_BITS  bits of y
// BLOCK     1: block RAM; 2: LUTs
// TABLE     prefix of the memory files <TABLE>_<pp>.mem of lane pp (hexadecimal): word
//           cf*2^IN_BITS + x is y of channel cf*PE + pp at the x with that bit pattern
//
// Latency 1, initiation interval CHANNELS/PE a pixel. s_ready_o depends combinationally on
// m_ready_i.
// Memories: one of CHANNELS/PE * 2^IN_BITS words of OUT_BITS for each lane, registered read.
`default_nettype none

module lookup #(
    parameter int unsigned CHANNELS = 8,
    parameter int unsigned PE       = 2,
    parameter int unsigned IN_BITS  = 5,
    parameter int unsigned OUT_BITS = 4,
    parameter int unsigned BLOCK    = 2,
    parameter              TABLE
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [PE*IN_BITS-1:0]  s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output wire logic [PE*OUT_BITS-1:0] m_data_o
);
  if (PE < 1 || PE > 256 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("lookup: PE must divide CHANNELS and be at most 256");
  end
  if (IN_BITS < 1 || IN_BITS > 16 || OUT_BITS < 1) begin : gen_bad_bits
    $error("lookup: IN_BITS must be 1 .. 16, OUT_BITS at least 1");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned ADDR_BITS = $clog2(FOLD) + IN_BITS;

  function automatic logic [7:0] hex(input int unsigned digit);
    hex = digit < 10 ? 8'("0") + 8'(digit) : 8'("a") + 8'(digit - 10);
  endfunction

  wire logic en = m_ready_i || !m_valid_o;
  assign s_ready_o = en;
  always_ff @(posedge clk_i) begin
    if (rst_i) m_valid_o <= 1'b0;
    else if (en) m_valid_o <= s_valid_i;
  end

  wire logic [ADDR_BITS-IN_BITS:0] fold;  // a bit more than it needs, which may be none
  if (FOLD > 1) begin : gen_fold
    logic [ADDR_BITS-IN_BITS-1:0] count;
    wire logic last = 32'(count) == FOLD - 1;
    always_ff @(posedge clk_i) begin
      if (rst_i) count <= '0;
      else if (en && s_valid_i) count <= last ? '0 : count + 1'b1;
    end
    assign fold = {1'b0, count};
  end else begin : gen_no_fold
    assign fold = 1'b0;
  end

  for (genvar p = 0; p < PE; p++) begin : gen_lane
    rom #(
        .WIDTH(OUT_BITS), .DEPTH(FOLD << IN_BITS), .BLOCK(BLOCK),
        .INIT({TABLE, "_", hex(p / 16), hex(p % 16), ".mem"})
    ) u_table (
        .clk_i(clk_i), .en_i(en),
        .addr_i(ADDR_BITS'({fold, s_data_i[IN_BITS*p+:IN_BITS]})),
        .data_o(m_data_o[OUT_BITS*p+:OUT_BITS])
    );
  end
endmodule

`default_nettype wire
