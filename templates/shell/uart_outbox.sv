// Keeps results until the host has them, and makes the frames that carry them and all answers.
//
// RING_BITS   2**RING_BITS bytes of block RAM for results; at most 14
// INFO_BYTES  length of what INFO frames carry, 1 to 22 bytes
// INFO        its bytes, the first one lowest
//
// A frame: kind, session, consumed (2 bytes), accepted (2 bytes), position (2 bytes), then for
// kind INFO the bytes of INFO, for STREAM results from position on, up to the next multiple of
// 128; CRC (4 bytes). Kind has bit 7 set to report a gap. Numbers have their lowest byte first,
// which is sent as the highest is kept, so that the two belong together; consumed goes first, so
// that it is never ahead of accepted.
//
// A frame starts when results wait or an answer is due. After resend_i it starts at the last
// position that the host has acknowledged. An acknowledgement of what was not sent is ignored.
// restart_i drops results and answers; a frame that is under way then ends in any way, but says
// the former session.
`default_nettype none

module uart_outbox #(
    parameter int unsigned RING_BITS  = 11,
    parameter int unsigned INFO_BYTES = 1,
    parameter logic [8*INFO_BYTES-1:0] INFO = '0
) (
    input  wire logic        clk_i,
    input  wire logic        rst_i,
    input  wire logic        restart_i,
    input  wire logic        s_valid_i,
    output wire logic        s_ready_o,
    input  wire logic [7:0]  s_data_i,
    input  wire logic [7:0]  session_i,
    input  wire logic [15:0] accepted_i,
    input  wire logic [15:0] consumed_i,
    input  wire logic        info_i,
    input  wire logic        reply_i,
    input  wire logic        gap_i,
    input  wire logic        ack_valid_i,
    input  wire logic [15:0] ack_i,
    input  wire logic        resend_i,
    output wire logic        m_valid_o,
    input  wire logic        m_ready_i,
    output wire logic        m_flag_o,
    output wire logic        m_check_o,
    output      logic [7:0]  m_data_o
);
  localparam logic [5:0] BODY = 6'd9, CHECK = 6'd32, LAST = 6'd36;

  // The ring: from tail to head results that the host may not have; next is sent next. What is
  // read in the clock of its write is not used: waiting comes a clock later.
  (* ram_style = "block", no_rw_check *) logic [7:0] ram[2**RING_BITS];
  logic [15:0] head, next, tail;
  logic [7:0] result;
  logic waiting;  // a result that can be read already
  assign s_ready_o = head[RING_BITS:0] != {~tail[RING_BITS], tail[RING_BITS-1:0]};
  wire logic push = s_valid_i && s_ready_o;
  always_ff @(posedge clk_i) begin
    if (push) ram[head[RING_BITS-1:0]] <= s_data_i;
    result <= ram[next[RING_BITS-1:0]];
  end

  logic [5:0] step;  // within the frame: 0 its first flag, LAST its last one
  logic info, reply, gap, resend;  // due
  logic is_info, is_gap;           // of this frame
  logic in_body;                   // BODY <= step < CHECK
  wire logic start = info || reply || waiting;
  wire logic take = m_valid_o && m_ready_i;
  wire logic begins = take && step == '0;
  wire logic sent = take && in_body && !is_info;
  assign m_valid_o = step == '0 ? start : !in_body || is_info || waiting;
  assign m_flag_o  = step == '0 || step == LAST;
  assign m_check_o = step[5] && !m_flag_o;

  always_ff @(posedge clk_i) begin
    if (restart_i) begin
      head    <= '0;
      next    <= '0;
      tail    <= '0;
      waiting <= 1'b0;
    end else begin
      if (push) head <= head + 1'b1;
      if (begins && resend) next <= tail;
      else if (sent) next <= next + 1'b1;
      if (ack_valid_i && ack_i - tail <= head - tail) tail <= ack_i;
      waiting <= head != next;
    end
  end

  // Due answers; one that arises as a frame begins is for the next frame.
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      {info, reply, gap, resend} <= '0;
    end else begin
      info   <= info_i || (info && !begins);
      reply  <= (reply_i || (reply && !begins)) && !restart_i;
      gap    <= (gap_i || (gap && !begins)) && !restart_i;
      resend <= ((ack_valid_i && resend_i) || (resend && !begins)) && !restart_i;
    end
    if (begins) {is_info, is_gap} <= {info, gap};
  end

  wire logic body_ends = is_info ? take && step == BODY + 6'(INFO_BYTES - 1)
                                 : !waiting || (take && &next[6:0]);
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      step    <= '0;
      in_body <= 1'b0;
    end else if (in_body) begin
      if (body_ends) begin
        step    <= CHECK;
        in_body <= 1'b0;
      end else if (take && is_info) begin
        step <= step + 1'b1;
      end
    end else if (take) begin
      step    <= step == LAST ? '0 : step + 1'b1;
      in_body <= step == BODY - 1'b1;
    end
  end

  // What a step sends. A bit of the text is a constant table of 32, so one LUT.
  localparam logic [255:0] TEXT = {{(184 - 8 * INFO_BYTES) {1'b0}}, INFO, 72'd0};  // by step
  wire logic [7:0] text;
  for (genvar i = 0; i < 8; i++) begin : gen_text
    wire logic [31:0] table_of_bit;
    for (genvar at = 0; at < 32; at++) begin : gen_at
      assign table_of_bit[at] = TEXT[8*at+i];
    end
    assign text[i] = table_of_bit[step[4:0]];
  end
  logic [7:0] high;
  logic [15:0] number;
  always_comb begin
    case (step[2:1])
      2'd1: number = consumed_i;
      2'd2: number = accepted_i;
      default: number = next;
    endcase
    if (in_body) m_data_o = is_info ? text : result;
    else if (step == 6'd1) m_data_o = {is_gap, 5'd0, !is_info, 1'b1};
    else if (step == 6'd2) m_data_o = session_i;
    else m_data_o = step[0] ? number[7:0] : high;
  end
  always_ff @(posedge clk_i) if (take && step[0]) high <= number[15:8];
endmodule

`default_nettype wire
