// Registered AND with the inverse of a shared vector, in the reset of the flip-flops: no LUT.
//
//   q = w & ~a
//
// SIMD   bits
//
// q_o belongs to a_i and w_i of the last cycle with en_i. A reset does not wait for en_i, so in
// cycles without it, a_i must be what q_o belongs to, or all zeros.
`default_nettype none

module masked_bits #(
    parameter int unsigned SIMD = 64
) (
    input  wire logic            clk_i,
    input  wire logic            en_i,
    input  wire logic [SIMD-1:0] a_i,
    input  wire logic [SIMD-1:0] w_i,
    output wire logic [SIMD-1:0] q_o
);
`ifdef VERILATOR
  logic [SIMD-1:0] q;
  always_ff @(posedge clk_i) q <= (en_i ? w_i : q) & ~a_i;
  assign q_o = q;
`else
  for (genvar i = 0; i < SIMD; i++) begin : gen_bit
    FDRE u_bit (.C(clk_i), .CE(en_i), .R(a_i[i]), .D(w_i[i]), .Q(q_o[i]));
  end
`endif
endmodule

`default_nettype wire
