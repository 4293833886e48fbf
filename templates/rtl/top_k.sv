// Places of the K largest of CHANNELS values, largest first; among equals the lower place first.
//
// CHANNELS             values a frame, one a beat
// K                    places a frame, one a beat, at most CHANNELS
// IN_BITS, IN_SIGNED   type of a value; IN_SIGNED = 1 is two's complement
// OUT_BITS             bits of a place
//
// A value moves into the sorted entries in the cycle that takes it. Latency 1 from the last value
// to the first place, initiation interval CHANNELS + K - 1 a frame: no value is taken while the
// places behind the first one leave. s_ready_o depends combinationally on m_ready_i. No memories.
`default_nettype none

module top_k #(
    parameter int unsigned CHANNELS  = 10,
    parameter int unsigned K         = 1,
    parameter int unsigned IN_BITS   = 16,
    parameter int unsigned IN_SIGNED = 1,
    parameter int unsigned OUT_BITS  = 4
) (
    input  wire logic                clk_i,
    input  wire logic                rst_i,
    input  wire logic                s_valid_i,
    output wire logic                s_ready_o,
    input  wire logic [IN_BITS-1:0]  s_data_i,
    output      logic                m_valid_o,
    input  wire logic                m_ready_i,
    output wire logic [OUT_BITS-1:0] m_data_o
);
  if (K < 1 || K > CHANNELS || IN_BITS < 1) begin : gen_bad_k
    $error("top_k: K must be 1 .. CHANNELS");
  end
  if (OUT_BITS < 31 && CHANNELS > (1 << OUT_BITS)) begin : gen_bad_out
    $error("top_k: OUT_BITS must hold every place");
  end

  localparam int unsigned LEFT_BITS = $clog2(K + 1);

  logic [OUT_BITS-1:0] place;   // of the value at the input
  logic [LEFT_BITS-1:0] left;   // places still to leave, the one at the output not counted
  wire logic first = place == '0;
  wire logic last = place == OUT_BITS'(CHANNELS - 1);
  wire logic en = m_ready_i || !m_valid_o;
  wire logic fire = s_valid_i && s_ready_o;
  wire logic shift = en && left != '0;
  assign s_ready_o = en && left == '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      place     <= '0;
      left      <= '0;
    end else begin
      if (en) m_valid_o <= (fire && last) || shift;
      if (fire) place <= last ? '0 : place + 1'b1;
      if (fire && last) left <= LEFT_BITS'(K - 1);
      else if (shift) left <= left - 1'b1;
    end
  end

  // Entries 0 .. K-1, the largest value first. The frame's first value finds them empty.
  logic [K-1:0] filled;
  logic [K*IN_BITS-1:0] values;
  logic [K*OUT_BITS-1:0] places;
  wire logic [K-1:0] beaten;  // by the value at the input; if entry j is, so are those behind it
  for (genvar j = 0; j < K; j++) begin : gen_entry
    wire logic [IN_BITS-1:0] held = values[IN_BITS*j+:IN_BITS];
    wire logic greater = IN_SIGNED != 0 ? $signed(s_data_i) > $signed(held) : s_data_i > held;
    assign beaten[j] = first || !filled[j] || greater;

    wire logic [OUT_BITS-1:0] behind = j + 1 < K ? places[OUT_BITS*((j+1)%K)+:OUT_BITS] : '0;
    if (j == 0) begin : gen_top
      always_ff @(posedge clk_i) begin
        if (fire && beaten[0]) begin
          filled[0]           <= 1'b1;
          values[0+:IN_BITS]  <= s_data_i;
          places[0+:OUT_BITS] <= place;
        end else if (shift) places[0+:OUT_BITS] <= behind;
      end
    end else begin : gen_below
      always_ff @(posedge clk_i) begin
        if (fire && beaten[j]) begin
          filled[j] <= beaten[j-1] ? !first && filled[j-1] : 1'b1;
          values[IN_BITS*j+:IN_BITS] <= beaten[j-1] ? values[IN_BITS*(j-1)+:IN_BITS] : s_data_i;
          places[OUT_BITS*j+:OUT_BITS] <= beaten[j-1] ? places[OUT_BITS*(j-1)+:OUT_BITS] : place;
        end else if (shift) places[OUT_BITS*j+:OUT_BITS] <= behind;
      end
    end
  end
  assign m_data_o = places[0+:OUT_BITS];
endmodule

`default_nettype wire
