// Gives every beat of one stream to several readers, each in its own time.
//
// OUTPUTS   readers, at least 1
// WIDTH     bits of a beat
//
// An output offers the beat as soon as it is there and drops its valid once its reader has taken
// it, whatever the other readers do; the input is taken in the cycle in which the last reader
// takes the beat. m_data_o is the input, OUTPUTS times.
//
// Latency 0, initiation interval 1 a beat, no memories. s_ready_o depends combinationally on
// m_ready_i, m_valid_o on s_valid_i.
`default_nettype none

module fork_stream #(
    parameter int unsigned OUTPUTS = 2,
    parameter int unsigned WIDTH   = 8
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     s_valid_i,
    output wire logic                     s_ready_o,
    input  wire logic [WIDTH-1:0]         s_data_i,
    output wire logic [OUTPUTS-1:0]       m_valid_o,
    input  wire logic [OUTPUTS-1:0]       m_ready_i,
    output wire logic [OUTPUTS*WIDTH-1:0] m_data_o
);
  if (OUTPUTS < 1 || WIDTH < 1) begin : gen_bad
    $error("fork_stream: OUTPUTS and WIDTH must be at least 1");
  end

  logic [OUTPUTS-1:0] done;  // who has taken the beat that is still at the input
  wire logic [OUTPUTS-1:0] served = done | m_ready_i;

  assign m_valid_o = {OUTPUTS{s_valid_i}} & ~done;
  assign m_data_o  = {OUTPUTS{s_data_i}};
  assign s_ready_o = &served;

  always_ff @(posedge clk_i) begin
    if (rst_i) done <= '0;
    else if (s_valid_i) done <= s_ready_o ? '0 : served;
  end
endmodule

`default_nettype wire
