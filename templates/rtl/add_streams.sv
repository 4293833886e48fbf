// Joins two streams and adds or subtracts them element by element.
//
//   y[i] = a[i] + b[i], i = 0 .. PE-1, or a[i] - b[i]; mod 2^OUT_BITS, which must hold every result
//
// Port 0 is a (the low PE*A_BITS bits of s_data_i), port 1 is b. A beat is taken from both ports
// in the same cycle, never from one alone.
//
// PE                 elements a beat
// A_BITS, A_SIGNED   type of a; A_SIGNED = 1 is two's complement
// B_BITS, B_SIGNED   type of b
// OUT_BITS           bits of a result
// SUBTRACT           1 for the difference, whose range may be less than its operands' types say
//
// Latency 1, initiation interval 1 a beat, no memories. s_ready_o depends combinationally on
// m_ready_i and on the other port's s_valid_i.
`default_nettype none

module add_streams #(
    parameter int unsigned PE       = 1,
    parameter int unsigned A_BITS   = 8,
    parameter int unsigned A_SIGNED = 1,
    parameter int unsigned B_BITS   = 8,
    parameter int unsigned B_SIGNED = 1,
    parameter int unsigned OUT_BITS = 9,
    parameter int unsigned SUBTRACT = 0
) (
    input  wire logic                          clk_i,
    input  wire logic                          rst_i,
    input  wire logic [1:0]                    s_valid_i,
    output wire logic [1:0]                    s_ready_o,
    input  wire logic [PE*(A_BITS+B_BITS)-1:0] s_data_i,
    output      logic                          m_valid_o,
    input  wire logic                          m_ready_i,
    output      logic [PE*OUT_BITS-1:0]        m_data_o
);
  if (PE < 1 || A_BITS < 1 || B_BITS < 1) begin : gen_bad_widths
    $error("add_streams: PE, A_BITS and B_BITS must be at least 1");
  end
  if (OUT_BITS < 1 || (SUBTRACT == 0 && (OUT_BITS <= A_BITS || OUT_BITS <= B_BITS))) begin : gen_bad_out
    $error("add_streams: OUT_BITS must be greater than A_BITS and B_BITS");
  end

  wire logic fire = s_valid_i[0] && s_valid_i[1] && (!m_valid_o || m_ready_i);
  assign s_ready_o = {fire, fire};

  always_ff @(posedge clk_i) begin
    if (rst_i) m_valid_o <= 1'b0;
    else if (fire) m_valid_o <= 1'b1;
    else if (m_ready_i) m_valid_o <= 1'b0;
  end

  for (genvar i = 0; i < PE; i++) begin : gen_lane
    wire logic [A_BITS-1:0] a = s_data_i[A_BITS*i+:A_BITS];
    wire logic [B_BITS-1:0] b = s_data_i[PE*A_BITS+B_BITS*i+:B_BITS];
    wire logic [OUT_BITS-1:0] wide_a = A_SIGNED != 0 ? OUT_BITS'($signed(a)) : OUT_BITS'(a);
    wire logic [OUT_BITS-1:0] wide_b = B_SIGNED != 0 ? OUT_BITS'($signed(b)) : OUT_BITS'(b);
    always_ff @(posedge clk_i) begin
      if (fire) m_data_o[OUT_BITS*i+:OUT_BITS] <= SUBTRACT != 0 ? wide_a - wide_b : wide_a + wide_b;
    end
  end
endmodule

`default_nettype wire
