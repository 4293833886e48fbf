// Takes frames out of received bytes.
//
// Frames stand between flags 0x7E; within, 0x7D escapes: the byte behind it is XORed with 0x20
// (octet stuffing as in RFC 1662). Stuffing needs no buffer in hardware and finds the next frame
// at the next flag, whatever noise came before; COBS has less overhead at worst, but its sender
// must know the frame's bytes ahead, and its delimiter 0 is the commonest byte of images.
//
// byte_o: one clock, a byte of the frame on data_o, its CRC's bytes included.
// end_o: one clock, a frame has ended that had any bytes, the clock before; with it good_o: its CRC
// is right, no byte of it was broken, and no escape was left open.
`default_nettype none

module uart_deframer (
    input  wire logic       clk_i,
    input  wire logic       rst_i,
    input  wire logic       valid_i,
    input  wire logic       broken_i,
    input  wire logic [7:0] data_i,
    output wire logic       byte_o,
    output wire logic [7:0] data_o,
    output      logic       end_o,
    output      logic       good_o
);
  localparam logic [31:0] RESIDUE = 32'hDEBB20E3;  // of bytes and their CRC

  logic escaped, broken, empty;
  wire logic flag = valid_i && data_i == 8'h7E;
  wire logic escape = valid_i && data_i == 8'h7D;
  wire logic [31:0] crc;

  assign byte_o = valid_i && !flag && !escape;
  assign data_o = {data_i[7:6], data_i[5] ^ escaped, data_i[4:0]};

  always_ff @(posedge clk_i) begin
    end_o  <= flag && !empty;
    good_o <= crc == RESIDUE && !broken && !escaped;
    if (rst_i || flag) begin
      escaped <= 1'b0;
      broken  <= 1'b0;
      empty   <= 1'b1;
    end else begin
      if (valid_i) escaped <= escape;
      if (broken_i) broken <= 1'b1;
      if (valid_i || broken_i) empty <= 1'b0;
    end
  end

  // verilator lint_off PINCONNECTEMPTY
  uart_crc u_crc (
      .clk_i(clk_i), .rst_i(rst_i), .clear_i(rst_i || flag), .load_i(byte_o), .drain_i(1'b0),
      .data_i(data_o), .busy_o(), .data_o(), .crc_o(crc)
  );
  // verilator lint_on PINCONNECTEMPTY
endmodule

`default_nettype wire
