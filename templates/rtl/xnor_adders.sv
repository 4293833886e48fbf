// Adds agreements of two bit vectors in pairs: a LUT takes two positions and what came before.
//
//   sum over ones + 2 sum over twos = popcount(a xnor w)
//
// SIMD    bits of a and w
// DEPTH   LUTs in a row; each row leaves one of the ones
//
// Combinational. A LUT adds two agreements and the ones of the LUT before it in its row.
`default_nettype none

module xnor_adders #(
    parameter int unsigned SIMD  = 64,
    parameter int unsigned DEPTH = 6,
    localparam int unsigned PAIRS = (SIMD + 1) / 2,
    localparam int unsigned ROWS  = (PAIRS + DEPTH - 1) / DEPTH
) (
    input  wire logic [SIMD-1:0]  a_i,
    input  wire logic [SIMD-1:0]  w_i,
    output wire logic [ROWS-1:0]  ones_o,
    output wire logic [PAIRS-1:0] twos_o
);
  // of (I0 xnor I1) + (I2 xnor I3) + I4: the ones (O6, I5 = 1), the twos (O5)
  localparam logic [31:0] ONES = 32'h9669_6996;
  localparam logic [31:0] TWOS = 32'hf99f_9009;

  // an odd SIMD is filled up with one position that disagrees
  wire logic [2*PAIRS-1:0] a = (2 * PAIRS)'(a_i);
  wire logic [2*PAIRS-1:0] w = (2 * PAIRS)'({1'b1, w_i});
  wire logic [PAIRS-1:0] ones;
  for (genvar i = 0; i < PAIRS; i++) begin : gen_pair
    wire logic carried;
    if (i % DEPTH == 0) begin : gen_first
      assign carried = 1'b0;
    end else begin : gen_next
      assign carried = ones[i-1];
    end
    if (i % DEPTH == DEPTH - 1 || i == PAIRS - 1) begin : gen_last
      assign ones_o[i/DEPTH] = ones[i];
    end
    LUT6_2 #(.INIT({ONES, TWOS})) u_pair (
        .I0(a[2*i]), .I1(w[2*i]), .I2(a[2*i+1]), .I3(w[2*i+1]), .I4(carried), .I5(1'b1),
        .O6(ones[i]), .O5(twos_o[i])
    );
  end
endmodule

`default_nettype wire
