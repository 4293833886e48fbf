// Receives bytes from a serial line: 8 data bits, no parity, 1 stop bit, lowest bit first.
//
// CLOCK_HZ, BAUD   clocks and bits a second; a bit takes 8 clocks at least
//
// The line passes two flip-flops and a majority of three samples, which drops what is shorter than
// two clocks. A falling edge starts a byte if the line is still low in the middle of the start
// bit; every bit is sampled in its middle, to one clock. Sender and receiver may differ by 2 % at
// 8 clocks a bit, by 4 % where a bit has many.
//
// valid_o: one clock, in the middle of a good stop bit, with the byte on data_o, which stays for a
// bit at least. broken_o: one clock, instead of valid_o, when the stop bit is low (noise, or a
// break); the next byte starts only after the line was high.
`default_nettype none

module uart_rx #(
    parameter int unsigned CLOCK_HZ = 100_000_000,
    parameter int unsigned BAUD     = 921_600
) (
    input  wire logic       clk_i,
    input  wire logic       rst_i,
    input  wire logic       rx_i,
    output      logic       valid_o,
    output      logic       broken_o,
    output      logic [7:0] data_o
);
  if (CLOCK_HZ / 8 < BAUD) begin : gen_bad
    $error("uart_rx: a bit must take at least 8 clocks: BAUD is above CLOCK_HZ / 8");
  end

  (* ASYNC_REG = "TRUE" *) logic [1:0] sync;
  logic [1:0] older;
  wire logic line = (sync[1] & older[0]) | (sync[1] & older[1]) | (older[0] & older[1]);
  always_ff @(posedge clk_i) begin
    sync  <= {sync[0], rx_i};
    older <= {older[0], sync[1]};
  end

  logic busy;
  logic was_high;
  logic [3:0] bits;  // that were sampled, the start bit first
  wire logic tick;
  uart_ticks #(.CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD), .HALF(1)) u_ticks (
      .clk_i(clk_i), .hold_i(!busy), .tick_o(tick)
  );

  always_ff @(posedge clk_i) begin
    was_high <= line;
    valid_o  <= 1'b0;
    broken_o <= 1'b0;
    if (rst_i) begin
      busy     <= 1'b0;
      was_high <= 1'b0;
    end else if (!busy) begin
      busy <= was_high && !line;
      bits <= '0;
    end else if (tick) begin
      bits <= bits + 1'b1;
      if (bits == 4'd0) busy <= !line;
      if (bits == 4'd9) begin
        busy     <= 1'b0;
        valid_o  <= line;
        broken_o <= !line;
      end
    end
  end
  always_ff @(posedge clk_i) if (tick && bits != 4'd9) data_o <= {line, data_o[7:1]};
endmodule

`default_nettype wire
