// An image as one pixel: the beats of a stream as they are, wires alone.
//
// WIDTH   bits of a beat
//
// Latency 0. s_ready_o is m_ready_i, and m_valid_o is s_valid_i. No memories.
`default_nettype none

module flatten #(
    parameter int unsigned WIDTH = 8
) (
    input  wire logic             clk_i,
    input  wire logic             rst_i,
    input  wire logic             s_valid_i,
    output wire logic             s_ready_o,
    input  wire logic [WIDTH-1:0] s_data_i,
    output wire logic             m_valid_o,
    input  wire logic             m_ready_i,
    output wire logic [WIDTH-1:0] m_data_o
);
  if (WIDTH < 1) begin : gen_bad
    $error("flatten: WIDTH must be at least 1");
  end

  assign m_valid_o = s_valid_i;
  assign m_data_o  = s_data_i;
  assign s_ready_o = m_ready_i;
  wire logic unused = &{1'b0, clk_i, rst_i};
endmodule

`default_nettype wire
