// Delays a value by a fixed number of enabled cycles.
//
// WIDTH    bits of the value
// CYCLES   delay, 0 makes wires
//
// Registers without reset: CYCLES enabled cycles after a reset the output is what went in.
`default_nettype none

module delay_line #(
    parameter int unsigned WIDTH  = 1,
    parameter int unsigned CYCLES = 1
) (
    input  wire logic             clk_i,
    input  wire logic             en_i,
    input  wire logic [WIDTH-1:0] data_i,
    output wire logic [WIDTH-1:0] data_o
);
  if (CYCLES == 0) begin : gen_wires
    assign data_o = data_i;
    wire logic unused = &{1'b0, clk_i, en_i};
  end else begin : gen_registers
    logic [CYCLES*WIDTH-1:0] line;  // the oldest value at the top
    always_ff @(posedge clk_i) if (en_i) line <= (CYCLES * WIDTH)'({line, data_i});
    assign data_o = line[CYCLES*WIDTH-1-:WIDTH];
  end
endmodule

`default_nettype wire
