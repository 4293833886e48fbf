// Product of a signed and an unsigned number in LUTs and carry chains, whatever synthesis prefers.
//
//   product = x * m
//
// X_BITS, M_BITS   bits of x, two's complement, and of m, unsigned
//
// Two bits of m choose among 0, x, 2x and 3x in a LUT a bit, half of these within the adders
// behind them. Combinational, 1 + ceil(log2(M_BITS / 2)) adders deep.
`default_nettype none

module lut_product #(
    parameter int unsigned X_BITS = 9,
    parameter int unsigned M_BITS = 15
) (
    input  wire logic [X_BITS-1:0]        x_i,
    input  wire logic [M_BITS-1:0]        m_i,
    output wire logic [X_BITS+M_BITS-1:0] product_o
);
  if (X_BITS < 1 || M_BITS < 1) begin : gen_bad
    $error("lut_product: X_BITS and M_BITS must be at least 1");
  end

  wire logic [X_BITS+1:0] once = (X_BITS + 2)'($signed(x_i));
  wire logic [X_BITS+1:0] thrice = once + (once << 1);
  lut_product_tree #(.X_BITS(X_BITS), .M_BITS(M_BITS)) u_tree (
      .x_i(x_i), .thrice_i(thrice), .m_i(m_i), .product_o(product_o)
  );
endmodule

`default_nettype wire
