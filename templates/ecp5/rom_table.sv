// The memory of rom.sv where it has two words or more, on an ECP5.
//
// WIDTH, DEPTH, BLOCK, INIT   as rom.sv has them
//
// A module of its own, as in templates/rtl. What is not to lie in block RAM must say so: Yosys
// takes one for a table of 64 words too, which four LUTs a bit hold. Latency 1.
`default_nettype none

module rom_table #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 16,
    parameter int unsigned BLOCK = 0,
    parameter              INIT
) (
    input  wire logic                     clk_i,
    input  wire logic                     en_i,
    input  wire logic [$clog2(DEPTH)-1:0] addr_i,
    output      logic [WIDTH-1:0]         data_o
);
  if (BLOCK == 1) begin : gen_block
    (* rom_style = "block" *) logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(INIT, words);
    always_ff @(posedge clk_i) if (en_i) data_o <= words[addr_i];
  end else begin : gen_any
    (* rom_style = "logic" *) logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(INIT, words);
    always_ff @(posedge clk_i) if (en_i) data_o <= words[addr_i];
  end
endmodule

`default_nettype wire
