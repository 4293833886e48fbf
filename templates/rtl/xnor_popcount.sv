// Counts the positions in which two bit vectors agree: the dot product of -1/+1 vectors.
//
//   count = popcount(a xnor w), 0 .. SIMD
//
// SIMD     bits of a and w
// STAGES   count_o belongs to the a_i, w_i of STAGES enabled cycles ago; 0 is combinational,
//          at most max(1, ceil(log2(SIMD + 1)) - 1)
//
// Initiation interval 1, no memories. Verilator simulates the meaning itself, which is far faster;
// every other tool gets popcount_tree, which tests prove equal. A kernel built of primitives would
// take its place here.
`default_nettype none

module xnor_popcount #(
    parameter int unsigned SIMD   = 64,
    parameter int unsigned STAGES = 0,
    localparam int unsigned COUNT_BITS = $clog2(SIMD + 1)
) (
    input  wire logic                  clk_i,
    input  wire logic                  en_i,
    input  wire logic [SIMD-1:0]       a_i,
    input  wire logic [SIMD-1:0]       w_i,
    output wire logic [COUNT_BITS-1:0] count_o
);
`ifdef VERILATOR
  delay_line #(.WIDTH(COUNT_BITS), .CYCLES(STAGES)) u_count (
      .clk_i(clk_i), .en_i(en_i),
      .data_i(COUNT_BITS'($countones(a_i ~^ w_i))), .data_o(count_o)
  );
`else
  popcount_tree #(.SIMD(SIMD), .STAGES(STAGES)) u_count (
      .clk_i(clk_i), .en_i(en_i), .a_i(a_i), .w_i(w_i), .count_o(count_o)
  );
`endif
endmodule

`default_nettype wire
