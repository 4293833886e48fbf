// Feeds a network from a serial line and returns its results there; docs/boards/uart.md has the
// protocol.
//
// CLOCK_HZ, BAUD         clocks and bits a second; a bit takes 8 clocks at least
// BUILD_ID               what the host must know the network by
// BUS_BYTES              bytes of a beat of both streams
// BEATS_IN, BEATS_OUT    beats of an image and of its results: the host is told, nothing is counted
// INBOX_BITS, OUTBOX_BITS   2**bits bytes of block RAM for images and for results that wait, 5..14
//
// The line carries two streams of bytes, one each way, in frames with CRC and positions. What is
// damaged, lost or repeated on the line is neither seen by the network nor by the host's caller:
// images are taken in order and once, and results are kept until the host has them. A network
// that is not ready fills the inbox; the host is told how much room there is.
//
// core_rst_o resets the network, at rst_i and when a host opens a session, for 4 clocks or more.
// m_data_o and s_data_i carry bytes in the order of the line, the first one lowest.
`default_nettype none

module uart_shell #(
    parameter int unsigned CLOCK_HZ    = 100_000_000,
    parameter int unsigned BAUD        = 921_600,
    parameter logic [63:0] BUILD_ID    = 64'd0,
    parameter int unsigned BUS_BYTES   = 4,
    parameter int unsigned BEATS_IN    = 16,
    parameter int unsigned BEATS_OUT   = 10,
    parameter int unsigned INBOX_BITS  = 11,
    parameter int unsigned OUTBOX_BITS = 11
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   uart_rx_i,
    output wire logic                   uart_tx_o,
    output wire logic                   core_rst_o,
    output wire logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output wire logic [8*BUS_BYTES-1:0] m_data_o,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [8*BUS_BYTES-1:0] s_data_i
);
  localparam logic [7:0] VERSION = 8'd1;
  localparam int unsigned INFO_BYTES = 19;
  localparam logic [8*INFO_BYTES-1:0] INFO = {
    32'(BEATS_OUT * BUS_BYTES), 32'(BEATS_IN * BUS_BYTES), BUILD_ID,
    8'(OUTBOX_BITS), 8'(INBOX_BITS), VERSION
  };

  if (INBOX_BITS < 5 || INBOX_BITS > 14 || OUTBOX_BITS < 5 || OUTBOX_BITS > 14) begin : gen_bad
    $error("uart_shell: INBOX_BITS and OUTBOX_BITS must be from 5 to 14");
  end

  // line to inbox
  wire logic rx_valid, rx_broken, in_byte, in_end, in_good;
  wire logic [7:0] rx_data, in_data;
  uart_rx #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD)) u_rx (
      .clk_i(clk_i), .rst_i(rst_i), .rx_i(uart_rx_i),
      .valid_o(rx_valid), .broken_o(rx_broken), .data_o(rx_data)
  );
  uart_deframer u_deframer (
      .clk_i(clk_i), .rst_i(rst_i), .valid_i(rx_valid), .broken_i(rx_broken), .data_i(rx_data),
      .byte_o(in_byte), .data_o(in_data), .end_o(in_end), .good_o(in_good)
  );

  // inbox to network
  wire logic image_valid, image_ready, info, reply, gap, ack_valid, resend;
  wire logic [7:0] image_data, session;
  wire logic [15:0] accepted, consumed, ack;
  uart_inbox #(.RING_BITS(INBOX_BITS)) u_inbox (
      .clk_i(clk_i), .rst_i(rst_i),
      .byte_i(in_byte), .data_i(in_data), .end_i(in_end), .good_i(in_good),
      .m_valid_o(image_valid), .m_ready_i(image_ready), .m_data_o(image_data),
      .session_o(session), .restart_o(core_rst_o), .accepted_o(accepted), .consumed_o(consumed),
      .info_o(info), .reply_o(reply), .gap_o(gap),
      .ack_valid_o(ack_valid), .ack_o(ack), .resend_o(resend)
  );
  width_converter #(.IN_WIDTH(8), .OUT_WIDTH(8 * BUS_BYTES)) u_beats_in (
      .clk_i(clk_i), .rst_i(core_rst_o),
      .s_valid_i(image_valid), .s_ready_o(image_ready), .s_data_i(image_data),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o)
  );

  // network to outbox
  wire logic result_valid, result_ready;
  wire logic [7:0] result_data;
  width_converter #(.IN_WIDTH(8 * BUS_BYTES), .OUT_WIDTH(8)) u_beats_out (
      .clk_i(clk_i), .rst_i(core_rst_o),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(result_valid), .m_ready_i(result_ready), .m_data_o(result_data)
  );
  wire logic out_valid, out_ready, out_flag, out_check;
  wire logic [7:0] out_data;
  uart_outbox #(.RING_BITS(OUTBOX_BITS), .INFO_BYTES(INFO_BYTES), .INFO(INFO)) u_outbox (
      .clk_i(clk_i), .rst_i(rst_i), .restart_i(core_rst_o),
      .s_valid_i(result_valid), .s_ready_o(result_ready), .s_data_i(result_data),
      .session_i(session), .accepted_i(accepted), .consumed_i(consumed),
      .info_i(info), .reply_i(reply), .gap_i(gap),
      .ack_valid_i(ack_valid), .ack_i(ack), .resend_i(resend),
      .m_valid_o(out_valid), .m_ready_i(out_ready), .m_flag_o(out_flag), .m_check_o(out_check),
      .m_data_o(out_data)
  );

  // outbox to line
  wire logic tx_valid, tx_ready;
  wire logic [7:0] tx_data;
  uart_framer u_framer (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(out_valid), .s_ready_o(out_ready), .s_flag_i(out_flag), .s_check_i(out_check),
      .s_data_i(out_data), .m_valid_o(tx_valid), .m_ready_i(tx_ready), .m_data_o(tx_data)
  );
  uart_tx #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD)) u_tx (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(tx_valid), .s_ready_o(tx_ready), .s_data_i(tx_data), .tx_o(uart_tx_o)
  );
endmodule

`default_nettype wire
