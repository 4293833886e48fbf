// Makes frames of bytes, for uart_tx: see uart_deframer for their form.
//
// A frame is a beat with s_flag_i, its bytes, four beats with s_check_i (which send the CRC of the
// bytes, lowest byte first), and a beat with s_flag_i. s_data_i counts only in beats with neither.
// One byte is held, so that the line never waits.
`default_nettype none

module uart_framer (
    input  wire logic       clk_i,
    input  wire logic       rst_i,
    input  wire logic       s_valid_i,
    output wire logic       s_ready_o,
    input  wire logic       s_flag_i,
    input  wire logic       s_check_i,
    input  wire logic [7:0] s_data_i,
    output wire logic       m_valid_o,
    input  wire logic       m_ready_i,
    output wire logic [7:0] m_data_o
);
  logic held, flag, escaped;
  wire logic [7:0] data;
  wire logic [31:0] crc;
  wire logic busy;
  wire logic take = s_valid_i && s_ready_o;
  wire logic special = !flag && data[7:2] == 6'b011111 && (data[1] ^ data[0]);  // 7E or 7D
  wire logic escape = special && !escaped;

  assign s_ready_o = !held;
  assign m_valid_o = held && !busy;
  assign m_data_o  = escape ? 8'h7D : {data[7:6], data[5] ^ escaped, data[4:0]};

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      held    <= 1'b0;
      escaped <= 1'b0;
    end else if (take) begin
      held <= 1'b1;
    end else if (m_valid_o && m_ready_i) begin
      held    <= escape;
      escaped <= escape;
    end
  end
  always_ff @(posedge clk_i) if (take) flag <= s_flag_i;

  uart_crc u_crc (
      .clk_i(clk_i), .rst_i(rst_i), .clear_i(held && flag), .load_i(take), .drain_i(s_check_i),
      .data_i(s_flag_i ? 8'h7E : s_check_i ? ~crc[7:0] : s_data_i),
      .busy_o(busy), .data_o(data), .crc_o(crc)
  );
  wire logic unused = &{1'b0, crc[31:8]};
endmodule

`default_nettype wire
