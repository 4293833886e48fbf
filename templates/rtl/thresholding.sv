// Staircase per channel: counts the thresholds that an integer reaches.
//
//   y = OFFSET + sum over i of (x >= T[c, i])  mod 2^OUT_BITS, over 2^STEPS - 1 ascending T[c, i]
//
// CHANNELS            channels of a pixel
// PE                  channels a beat, divides CHANNELS
// IN_BITS, IN_SIGNED  type of x; IN_SIGNED = 1 is two's complement
// STEPS               stages of the binary search; each decides one bit of the count
// T_BITS, T_SIGNED    type of the thresholds; it holds every x
// OUT_BITS, OFFSET    bits of y, and y below every threshold, as a bit pattern
// THRESHOLDS          prefix of the memory files <THRESHOLDS>_<pp><s>.mem of lane pp and stage s
//                     (hexadecimal): word cf*2^s + b is the threshold of channel cf*PE + pp in the
//                     middle of what the s bits b, decided before, leave open
//
// Latency STEPS + 1, initiation interval CHANNELS/PE a pixel. s_ready_o depends combinationally
// on m_ready_i.
// Memories: one of CHANNELS/PE * 2^s words of T_BITS for each stage s of each lane, registered
// read: LUTs, block RAM where deep.
`default_nettype none

module thresholding #(
    parameter int unsigned CHANNELS   = 8,
    parameter int unsigned PE         = 2,
    parameter int unsigned IN_BITS    = 8,
    parameter int unsigned IN_SIGNED  = 0,
    parameter int unsigned STEPS      = 4,
    parameter int unsigned T_BITS     = 9,
    parameter int unsigned T_SIGNED   = 0,
    parameter int unsigned OUT_BITS   = 4,
    parameter int unsigned OFFSET     = 0,
    parameter              THRESHOLDS
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [PE*IN_BITS-1:0]  s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*OUT_BITS-1:0] m_data_o
);
  if (PE < 1 || PE > 256 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("thresholding: PE must divide CHANNELS and be at most 256");
  end
  if (STEPS < 1 || STEPS > 16 || IN_BITS < 1 || OUT_BITS < 1) begin : gen_bad_steps
    $error("thresholding: STEPS must be 1 .. 16, IN_BITS and OUT_BITS at least 1");
  end
  if (T_BITS < IN_BITS || (IN_SIGNED != 0 && T_SIGNED == 0)) begin : gen_bad_type
    $error("thresholding: the type of the thresholds must hold every input");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;

  function automatic logic [7:0] hex(input int unsigned digit);
    hex = digit < 10 ? 8'("0") + 8'(digit) : 8'("a") + 8'(digit - 10);
  endfunction

  logic [STEPS-1:0] valid;           // of the registers beside the memory of each stage
  logic [STEPS*FOLD_BITS-1:0] fold;  // slice s is that of the input of stage s
  wire logic en = m_ready_i || !m_valid_o;
  wire logic last = fold[FOLD_BITS-1:0] == FOLD_BITS'(FOLD - 1);
  assign s_ready_o = en;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      valid     <= '0;
    end else if (en) begin
      {m_valid_o, valid} <= {valid, s_valid_i};
    end
  end
  always_ff @(posedge clk_i) begin
    if (rst_i) fold[FOLD_BITS-1:0] <= '0;
    else if (en && s_valid_i) fold[FOLD_BITS-1:0] <= last ? '0 : fold[FOLD_BITS-1:0] + 1'b1;
  end
  if (STEPS > 1) begin : gen_fold
    always_ff @(posedge clk_i) begin
      if (en) fold[STEPS*FOLD_BITS-1:FOLD_BITS] <= fold[(STEPS-1)*FOLD_BITS-1:0];
    end
  end

  for (genvar p = 0; p < PE; p++) begin : gen_lane
    wire logic [STEPS*IN_BITS-1:0] x;          // slice s at the input of stage s
    wire logic [(STEPS+1)*STEPS-1:0] reached;  // slice s: the s bits of the count decided so far
    assign x[IN_BITS-1:0] = s_data_i[IN_BITS*p+:IN_BITS];
    assign reached[STEPS-1:0] = '0;

    for (genvar s = 0; s < STEPS; s++) begin : gen_stage
      localparam int unsigned DEPTH = FOLD << s;
      localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
      wire logic [FOLD_BITS-1:0] cf = fold[FOLD_BITS*s+:FOLD_BITS];
      wire logic [STEPS-1:0] decided = reached[STEPS*s+:STEPS];
      wire logic [T_BITS-1:0] t;
      logic [IN_BITS-1:0] x_q;
      logic [STEPS-1:0] decided_q;
      rom #(
          .WIDTH(T_BITS), .DEPTH(DEPTH),
          .INIT({THRESHOLDS, "_", hex(p / 16), hex(p % 16), hex(s), ".mem"})
      ) u_thresholds (
          .clk_i(clk_i), .en_i(en),
          .addr_i(ADDR_BITS'(cf) << s | ADDR_BITS'(decided)), .data_o(t)
      );
      always_ff @(posedge clk_i) begin
        if (en) begin
          x_q      <= x[IN_BITS*s+:IN_BITS];
          decided_q <= decided;
        end
      end
      wire logic [T_BITS-1:0] wide_x = IN_SIGNED != 0 ? T_BITS'($signed(x_q)) : T_BITS'(x_q);
      wire logic reach = T_SIGNED != 0 ? $signed(wide_x) >= $signed(t) : wide_x >= t;
      if (s + 1 < STEPS) begin : gen_next
        assign x[IN_BITS*(s+1)+:IN_BITS] = x_q;
      end
      assign reached[STEPS*(s+1)+:STEPS] = decided_q << 1 | STEPS'(reach);
    end

    always_ff @(posedge clk_i) begin
      if (en) begin
        m_data_o[OUT_BITS*p+:OUT_BITS] <=
            OUT_BITS'(OFFSET) + OUT_BITS'(reached[STEPS*STEPS+:STEPS]);
      end
    end
  end
endmodule

`default_nettype wire
