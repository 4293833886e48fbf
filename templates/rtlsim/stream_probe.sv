// Observes one stream of a design for the simulation harness; never part of the hardware.
//
// STREAM   number under which the harness knows the stream
// WIDTH    bits of a beat
//
// While record_i is high, every beat that enters the FIFO is handed over, 32 bits at a time,
// lowest first. In a cycle with report_i the state of both handshakes is handed over, and the most
// beats that the FIFO has held since reset.
`default_nettype none

module stream_probe #(
    parameter int unsigned STREAM = 0,
    parameter int unsigned WIDTH  = 8
) (
    input wire logic             clk_i,
    input wire logic             rst_i,
    input wire logic             record_i,
    input wire logic             report_i,
    input wire logic             s_valid_i,
    input wire logic             s_ready_i,
    input wire logic [WIDTH-1:0] s_data_i,
    input wire logic             m_valid_i,
    input wire logic             m_ready_i
);
  import "DPI-C" function void hwgen_record(input int unsigned stream, input int unsigned word);
  import "DPI-C" function void hwgen_report(
    input int unsigned stream, input bit s_valid, input bit s_ready, input bit m_valid,
    input bit m_ready, input int unsigned most_held
  );

  localparam int unsigned WORDS = (WIDTH + 31) / 32;
  wire logic [32*WORDS-1:0] words = (32 * WORDS)'(s_data_i);

  int unsigned held, most_held;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      held      <= 0;
      most_held <= 0;
    end else begin
      held <= held + 32'(s_valid_i && s_ready_i) - 32'(m_valid_i && m_ready_i);
      if (held > most_held) most_held <= held;
    end
    if (record_i && s_valid_i && s_ready_i) begin
      for (int unsigned i = 0; i < WORDS; i++) hwgen_record(STREAM, words[32*i+:32]);
    end
    if (report_i) hwgen_report(STREAM, s_valid_i, s_ready_i, m_valid_i, m_ready_i, most_held);
  end
endmodule

`default_nettype wire
