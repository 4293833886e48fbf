// CRC-32 of IEEE 802.3 (zlib's crc32: polynomial 0x04C11DB7, reflected), a bit a clock: a byte on
// the line lasts 80 clocks, so eight are not worth more logic.
//
// clear_i   starts a new sum
// load_i    adds data_i in the next 8 clocks, while busy_o; data_o is that byte again when they
//           are over
// drain_i   with load_i: shifts crc_o down by a byte instead
//
// crc_o is the remainder before its final inversion; over bytes and their CRC, lowest byte first,
// it is 0xDEBB20E3.
`default_nettype none

module uart_crc (
    input  wire logic        clk_i,
    input  wire logic        rst_i,
    input  wire logic        clear_i,
    input  wire logic        load_i,
    input  wire logic        drain_i,
    input  wire logic [7:0]  data_i,
    output wire logic        busy_o,
    output wire logic [7:0]  data_o,
    output      logic [31:0] crc_o
);
  localparam logic [31:0] POLYNOMIAL = 32'hEDB88320;

  logic [7:0] data;
  logic [3:0] left;
  logic drain;
  wire logic feedback = (crc_o[0] ^ data[0]) && !drain;
  assign busy_o = left != 4'd0;
  assign data_o = data;

  always_ff @(posedge clk_i) begin
    if (rst_i) left <= 4'd0;
    else if (load_i) left <= 4'd8;
    else if (busy_o) left <= left - 1'b1;
  end
  always_ff @(posedge clk_i) begin
    if (load_i) begin
      data  <= data_i;
      drain <= drain_i;
    end else if (busy_o) begin
      data <= {data[0], data[7:1]};
    end
    if (clear_i) crc_o <= '1;
    else if (busy_o) crc_o <= {1'b0, crc_o[31:1]} ^ (feedback ? POLYNOMIAL : '0);
  end
endmodule

`default_nettype wire
