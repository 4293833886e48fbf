// Sends bytes on a serial line: 8 data bits, no parity, 1 stop bit, lowest bit first.
//
// CLOCK_HZ, BAUD   clocks and bits a second
//
// Bytes that wait follow one another without a gap: 10 bits a byte. tx_o is a register.
`default_nettype none

module uart_tx #(
    parameter int unsigned CLOCK_HZ = 100_000_000,
    parameter int unsigned BAUD     = 921_600
) (
    input  wire logic       clk_i,
    input  wire logic       rst_i,
    input  wire logic       s_valid_i,
    output wire logic       s_ready_o,
    input  wire logic [7:0] s_data_i,
    output wire logic       tx_o
);
  logic [8:0] bits;  // the one on the line is the lowest; the stop bit is shifted in
  logic [3:0] left;
  wire logic tick;
  uart_ticks #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD), .HALF(0)) u_ticks (
      .clk_i(clk_i), .hold_i(left == 4'd0), .tick_o(tick)
  );

  assign tx_o = bits[0];
  assign s_ready_o = left == 4'd0 || (tick && left == 4'd1);
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      bits <= '1;
      left <= '0;
    end else if (s_valid_i && s_ready_o) begin
      bits <= {s_data_i, 1'b0};
      left <= 4'd10;
    end else if (tick && left != 4'd0) begin
      bits <= {1'b1, bits[8:1]};
      left <= left - 1'b1;
    end
  end
endmodule

`default_nettype wire
