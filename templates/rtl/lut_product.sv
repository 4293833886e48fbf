// Product of a signed and an unsigned number in LUTs and carry chains, whatever synthesis prefers.
//
//   product = x * m
//
// X_BITS, M_BITS   bits of x, two's complement, and of m, unsigned
//
// A tree: a node multiplies by the two halves of m and adds, where the low bits of one are the
// product's own. Combinational, ceil(log2(M_BITS)) adders deep.
`default_nettype none

module lut_product #(
    parameter int unsigned X_BITS = 9,
    parameter int unsigned M_BITS = 15,
    localparam int unsigned PRODUCT_BITS = X_BITS + M_BITS
) (
    input  wire logic [X_BITS-1:0]       x_i,
    input  wire logic [M_BITS-1:0]       m_i,
    output wire logic [PRODUCT_BITS-1:0] product_o
);
  if (X_BITS < 1 || M_BITS < 1) begin : gen_bad
    $error("lut_product: X_BITS and M_BITS must be at least 1");
  end

  if (M_BITS == 1) begin : gen_leaf
    assign product_o = m_i[0] ? PRODUCT_BITS'($signed(x_i)) : '0;
  end else begin : gen_node
    localparam int unsigned LOW = M_BITS / 2;
    localparam int unsigned HIGH = M_BITS - LOW;
    wire logic [X_BITS+LOW-1:0] low;
    wire logic [X_BITS+HIGH-1:0] high;
    lut_product #(.X_BITS(X_BITS), .M_BITS(LOW)) u_low (
        .x_i(x_i), .m_i(m_i[LOW-1:0]), .product_o(low)
    );
    lut_product #(.X_BITS(X_BITS), .M_BITS(HIGH)) u_high (
        .x_i(x_i), .m_i(m_i[M_BITS-1:LOW]), .product_o(high)
    );
    // high cannot overflow: |x * m| < 2^(X_BITS - 1) * 2^M_BITS
    assign product_o = {high + (X_BITS + HIGH)'($signed(low[X_BITS+LOW-1:LOW])), low[LOW-1:0]};
  end
endmodule

`default_nettype wire
