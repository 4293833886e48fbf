// Read-only memory, filled from a file; the read register is data_o.
//
// WIDTH    bits of a word
// DEPTH    words; 1 makes a constant
// STYLE    0: by size; 1: block RAM; 2: LUTs
// BLOCK    1: block RAM; 2: LUTs; 0: what synthesis finds best, for shallow ones LUTs. By default
//          as STYLE says, by size block RAM where 64 words, which one LUT a bit holds, do not
//          suffice for many bits.
// INIT     memory file for $readmemh, one word a line
//
// data_o is the word that addr_i named in the last cycle with en_i: latency 1.
`default_nettype none

module rom #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 16,
    parameter int unsigned STYLE = 0,
    parameter int unsigned BLOCK =
        STYLE != 0 ? STYLE : (DEPTH > 64 && WIDTH * DEPTH > 2048) ? 1 : 0,
    parameter              INIT,
    localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire logic                 clk_i,
    input  wire logic                 en_i,
    input  wire logic [ADDR_BITS-1:0] addr_i,
    output      logic [WIDTH-1:0]     data_o
);
  if (WIDTH < 1 || DEPTH < 1) begin : gen_bad
    $error("rom: WIDTH and DEPTH must be at least 1");
  end

  if (DEPTH == 1) begin : gen_constant
    logic [WIDTH-1:0] words[1];
    initial $readmemh(INIT, words);
    always_ff @(posedge clk_i) if (en_i) data_o <= words[0];
    wire logic unused = &{1'b0, addr_i};
  end else begin : gen_table
    rom_table #(.WIDTH(WIDTH), .DEPTH(DEPTH), .BLOCK(BLOCK), .INIT(INIT)) u_table (
        .clk_i(clk_i), .en_i(en_i), .addr_i(addr_i), .data_o(data_o)
    );
  end
endmodule

`default_nettype wire
