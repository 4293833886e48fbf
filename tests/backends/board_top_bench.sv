// The reset of an ECP5's board_top: a PLL that takes its time, a button, and what the design sees.
`timescale 1ns / 1ps

module EHXPLLL #(
    parameter FEEDBK_PATH = "", parameter CLKOP_ENABLE = "", parameter CLKOS_ENABLE = "",
    parameter OUTDIVIDER_MUXA = "", parameter OUTDIVIDER_MUXB = "", parameter PLLRST_ENA = "",
    parameter INTFB_WAKE = "", parameter STDBY_ENABLE = "", parameter DPHASE_SOURCE = "",
    parameter int CLKI_DIV = 1, parameter int CLKFB_DIV = 1, parameter int CLKOP_DIV = 1,
    parameter int CLKOS_DIV = 1, parameter int CLKOP_CPHASE = 0, parameter int CLKOS_CPHASE = 0
) (
    input CLKI, CLKFB, RST, STDBY, PLLWAKESYNC, ENCLKOP, ENCLKOS, PHASESEL1, PHASESEL0, PHASEDIR,
    input PHASESTEP, PHASELOADREG, output CLKOP, CLKOS, LOCK
);
  // the clock runs before it is good, at the frequency that the dividers give
  localparam real HALF_NS = 500.0 * CLKI_DIV * CLKOS_DIV / (25.0 * CLKFB_DIV * CLKOP_DIV);
  reg clk = 0, lock = 0;
  always #(HALF_NS) clk = !clk;
  assign CLKOS = clk, CLKOP = CLKI, LOCK = lock;
endmodule

module hwgen_uart_top #(
    parameter int unsigned CLOCK_HZ = 1, parameter int unsigned BAUD = 1
) (
    input clk_i, rst_i, uart_rx_i, output uart_tx_o
);
  assign uart_tx_o = uart_rx_i;
endmodule

module bench;
  reg clk = 0, button = 0, rx = 1;
  wire tx;
  always #20 clk = !clk;  // 25 MHz
  board_top u_top (.clk_i(clk), .button_i(button), .uart_rx_i(rx), .uart_tx_o(tx));
  wire inner = u_top.u_design.clk_i, rst = u_top.u_design.rst_i;

  task check(input logic good, input string what);
    if (!good) $fatal(1, "%s", what);
  endtask

  realtime from;
  real ratio;
  initial begin
    @(posedge inner) from = $realtime;
    repeat (10) @(posedge inner);
    ratio = 1e10 / ($realtime - from) / u_top.u_design.CLOCK_HZ;
    check(ratio > 0.999 && ratio < 1.001, "CLOCK_HZ is the clock that the dividers make");
    check(rst, "reset holds while the PLL has not locked");
    #7 u_top.u_pll.lock = 1;
    repeat (3) begin
      @(negedge inner) check(rst, "reset is released in step with the clock, not before");
    end
    repeat (2) @(negedge inner);
    check(!rst, "reset ends once the PLL has locked");
    repeat (9) @(negedge inner) check(!rst, "it stays so");
    button = 1;
    repeat (6) @(negedge inner);
    check(rst, "the button resets");
    button = 0;
    repeat (6) @(negedge inner);
    check(!rst, "until it is let go");
    #3 u_top.u_pll.lock = 0;
    #1 check(rst, "a lost lock resets at once");
    rx = 0;
    #1 check(!tx, "the line goes through");
    $display("all good");
    $finish;
  end
endmodule
