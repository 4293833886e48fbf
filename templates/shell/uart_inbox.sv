// Reads frames of the host and hands their data on, in order, each byte once.
//
// RING_BITS   2**RING_BITS bytes of block RAM for what the network has not taken yet; at most 14
//
// A frame: kind, session, position (2 bytes), acknowledged (2 bytes), data, CRC (4 bytes); numbers
// have their lowest byte first. Data go into the ring as they arrive; only a good frame that
// belongs to the session, stands at position accepted_o and did not overflow moves accepted_o
// beyond them. So noise, repetition and loss never reach the network. Positions count the bytes
// of a session, modulo 2**16.
//
// session_o: 0 after rst_i. A frame OPEN with another session sets it and raises restart_o for 4
// clocks: data, results and the network start anew. OPEN with the same session changes nothing.
//
// Each for one clock:
//   info_o          to be answered with what this is (any frame that is not of the session)
//   reply_o         to be answered, with gap_o: a frame was damaged, or one before it is missing
//   ack_valid_o     ack_o is the position up to which the host has results
//   resend_o        with ack_valid_o: the host wants all results from there on once more
`default_nettype none

module uart_inbox #(
    parameter int unsigned RING_BITS = 11
) (
    input  wire logic        clk_i,
    input  wire logic        rst_i,
    input  wire logic        byte_i,
    input  wire logic [7:0]  data_i,
    input  wire logic        end_i,
    input  wire logic        good_i,
    output      logic        m_valid_o,
    input  wire logic        m_ready_i,
    output      logic [7:0]  m_data_o,
    output      logic [7:0]  session_o,
    output wire logic        restart_o,
    output      logic [15:0] accepted_o,
    output      logic [15:0] consumed_o,
    output wire logic        info_o,
    output wire logic        reply_o,
    output wire logic        gap_o,
    output wire logic        ack_valid_o,
    output wire logic [15:0] ack_o,
    output wire logic        resend_o
);
  localparam logic [1:0] OPEN = 2'd2, STREAM = 2'd3;
  localparam logic [3:0] HEADER = 4'd6, SHORTEST = 4'd10;

  // What a frame says of itself. Its position is compared as it arrives, by subtraction.
  logic [3:0] index;  // bytes so far; stays at SHORTEST
  logic [1:0] kind;
  logic resend, borrow, same, behind;
  logic [7:0] peer;
  logic [15:0] ack;
  wire logic [7:0] due = index[0] ? accepted_o[15:8] : accepted_o[7:0];
  wire logic [8:0] distance = {1'b0, data_i} - {1'b0, due} - 9'(index[0] && borrow);
  always_ff @(posedge clk_i) begin
    if (rst_i || end_i) index <= '0;
    else if (byte_i && index != SHORTEST) index <= index + 1'b1;
    if (byte_i) begin
      if (index == 4'd0) {resend, kind} <= {data_i[7], data_i[1:0]};
      if (index == 4'd1) peer <= data_i;
      if (index == 4'd2) {borrow, same} <= {distance[8], distance[7:0] == '0};
      if (index == 4'd3) {behind, same} <= {distance[7], same && distance[7:0] == '0};
      if (index == 4'd4) ack[7:0] <= data_i;
      if (index == 4'd5) ack[15:8] <= data_i;
    end
  end

  // The verdict at its end.
  logic overflow;
  wire logic whole = end_i && good_i && index == SHORTEST;
  wire logic idle = session_o == '0;
  wire logic ours = whole && kind == STREAM && peer == session_o && !idle;
  wire logic open = whole && kind == OPEN && peer != session_o;
  wire logic missing = same ? overflow : !behind;
  assign info_o      = whole && !ours;
  assign gap_o       = end_i && !idle && (!whole || (ours && missing));
  assign ack_valid_o = ours;
  assign ack_o       = ack;
  assign resend_o    = resend;

  logic [3:0] restarting;
  assign restart_o = restarting[3];
  always_ff @(posedge clk_i) begin
    if (rst_i) session_o <= '0;
    else if (open) session_o <= peer;
    restarting <= rst_i || open ? '1 : {restarting[2:0], 1'b0};
  end

  // The ring: from consumed_o to accepted_o good data, from there to written what is arriving. No
  // word is read in the clock in which it is written.
  (* ram_style = "block", no_rw_check *) logic [7:0] ram[2**RING_BITS];
  logic [15:0] written;
  wire logic room = written[RING_BITS:0] != {~consumed_o[RING_BITS], consumed_o[RING_BITS-1:0]};
  wire logic data_byte = byte_i && index >= HEADER;
  wire logic stored = consumed_o != accepted_o;
  wire logic pop = stored && (m_ready_i || !m_valid_o);
  always_ff @(posedge clk_i) begin
    if (restart_o) accepted_o <= '0;
    else if (ours && same && !overflow) accepted_o <= written - 16'd4;  // not the CRC
    if (index == '0) begin
      written  <= accepted_o;
      overflow <= 1'b0;
    end else if (data_byte) begin
      if (room) written <= written + 1'b1;
      else overflow <= 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (data_byte && room) ram[written[RING_BITS-1:0]] <= data_i;
    if (pop) m_data_o <= ram[consumed_o[RING_BITS-1:0]];
  end

  // The host is told of free room when the ring runs empty and every 256 bytes.
  logic was_stored;
  always_ff @(posedge clk_i) begin
    was_stored <= stored && !restart_o;
    if (restart_o) begin
      consumed_o <= '0;
      m_valid_o  <= 1'b0;
    end else if (pop) begin
      consumed_o <= consumed_o + 1'b1;
      m_valid_o  <= 1'b1;
    end else if (m_ready_i) begin
      m_valid_o <= 1'b0;
    end
  end
  assign reply_o = gap_o || (ours && (!same || resend)) || (was_stored && !stored) ||
      (pop && &consumed_o[7:0]);
endmodule

`default_nettype wire
