// Deals the beats of one stream out to several readers, FOLD beats to each in turn.
//
// OUTPUTS   readers, at least 2
// FOLD      beats that a reader gets in its turn
// WIDTH     bits of a beat
//
// A beat is offered to the reader whose turn it is, and to no other. m_data_o is the input,
// OUTPUTS times.
//
// Latency 0, initiation interval 1 a beat, no memories. s_ready_o depends combinationally on
// m_ready_i, m_valid_o on s_valid_i.
`default_nettype none

module split_streams #(
    parameter int unsigned OUTPUTS = 2,
    parameter int unsigned FOLD    = 2,
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
  if (OUTPUTS < 2 || FOLD < 1 || WIDTH < 1) begin : gen_bad
    $error("split_streams: OUTPUTS must be at least 2, FOLD and WIDTH at least 1");
  end

  localparam int unsigned BEAT_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  logic [OUTPUTS-1:0] turn;  // one-hot
  logic [BEAT_BITS-1:0] beat;
  wire logic last = beat == BEAT_BITS'(FOLD - 1);

  assign s_ready_o = |(turn & m_ready_i);
  assign m_valid_o = s_valid_i ? turn : '0;
  assign m_data_o  = {OUTPUTS{s_data_i}};

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      turn <= OUTPUTS'(1);
      beat <= '0;
    end else if (s_valid_i && s_ready_o) begin
      beat <= last ? '0 : beat + 1'b1;
      if (last) turn <= {turn[OUTPUTS-2:0], turn[OUTPUTS-1]};
    end
  end
endmodule

`default_nettype wire
