// Pulses BAUD times a second by a clock of CLOCK_HZ: the divider is a fraction, kept exactly, so
// intervals differ by one clock at most and nothing drifts.
//
// CLOCK_HZ   clocks a second
// BAUD       pulses a second, at most CLOCK_HZ
// HALF       1: the first pulse comes half an interval after hold_i ends; 0: a whole one
//
// phase counts up by BAUD and back by CLOCK_HZ, both over their greatest common divisor: it is
// negative until a pulse is due.
`default_nettype none

module uart_ticks #(
    parameter int unsigned CLOCK_HZ = 100_000_000,
    parameter int unsigned BAUD     = 921_600,
    parameter int unsigned HALF     = 0
) (
    input  wire logic clk_i,
    input  wire logic hold_i,
    output wire logic tick_o
);
  function automatic int unsigned gcd(input int unsigned a, input int unsigned b);
    int unsigned larger, lesser, rest;
    larger = a;
    lesser = b;
    for (int unsigned i = 0; i < 48; i++) begin
      if (lesser != 0) begin
        rest   = larger % lesser;
        larger = lesser;
        lesser = rest;
      end
    end
    gcd = larger;
  endfunction

  localparam int unsigned COMMON = gcd(CLOCK_HZ, BAUD);
  localparam int unsigned UP = BAUD / COMMON;
  localparam int unsigned BACK = CLOCK_HZ / COMMON;
  localparam int unsigned W = $clog2(BACK + 1) + 1;
  localparam int unsigned AHEAD = HALF != 0 ? BACK / 2 : BACK - UP;  // of the first pulse

  if (BAUD < 1 || BAUD > CLOCK_HZ) begin : gen_bad
    $error("uart_ticks: BAUD must be at least 1 and at most CLOCK_HZ");
  end

  logic [W-1:0] phase;
  assign tick_o = !phase[W-1];
  always_ff @(posedge clk_i) begin
    if (hold_i) phase <= W'(0) - W'(AHEAD);
    else phase <= phase + (tick_o ? W'(UP) - W'(BACK) : W'(UP));
  end
endmodule

`default_nettype wire
