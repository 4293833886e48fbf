// The memory of rom.sv where it has two words or more.
//
// WIDTH, DEPTH, BLOCK, INIT   as rom.sv has them
//
// A module of its own, so that synthesis can map it apart from the logic around it: ABC finds the
// one LUT a bit of up to 64 words only if it sees nothing else, and takes up to five otherwise
// (measured with Yosys 0.70). Latency 1.
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
  end else if (BLOCK == 2) begin : gen_luts
`ifdef YOSYS  // which has LUTRAM alone for distributed memories
    (* rom_style = "logic" *)
`else
    (* rom_style = "distributed" *)
`endif
    logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(INIT, words);
    always_ff @(posedge clk_i) if (en_i) data_o <= words[addr_i];
  end else begin : gen_any
    logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(INIT, words);
    always_ff @(posedge clk_i) if (en_i) data_o <= words[addr_i];
  end
endmodule

`default_nettype wire
