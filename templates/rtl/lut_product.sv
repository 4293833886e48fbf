// Product of a signed and an unsigned number in LUTs and carry chains, whatever synthesis prefers.
//
//   product = x * m
//
// X_BITS, M_BITS   bits of x, two's complement, and of m, unsigned
// SPAN             adders between registers, of 1 + ceil(log2(M_BITS / 2)) in a row; STAGES follows
//
// Two bits of m choose among 0, x, 2x and 3x in a LUT a bit, half of these within the adders
// behind them. product_o belongs to the operands of STAGES enabled cycles ago.
`default_nettype none

module lut_product #(
    parameter int unsigned X_BITS = 9,
    parameter int unsigned M_BITS = 15,
    parameter int unsigned SPAN   = 32
) (
    input  wire logic                     clk_i,
    input  wire logic                     en_i,
    input  wire logic [X_BITS-1:0]        x_i,
    input  wire logic [M_BITS-1:0]        m_i,
    output wire logic [X_BITS+M_BITS-1:0] product_o
);
  if (X_BITS < 1 || M_BITS < 1 || SPAN < 1) begin : gen_bad
    $error("lut_product: X_BITS, M_BITS and SPAN must be at least 1");
  end
  localparam int unsigned LEVELS = $clog2((M_BITS + 1) / 2);

  wire logic [X_BITS+1:0] once = (X_BITS + 2)'($signed(x_i));
  wire logic [X_BITS+1:0] thrice = once + (once << 1);
  // Behind the first adder, the tree's operands are fewer bits than what it makes of them.
  wire logic [X_BITS-1:0] x;
  wire logic [X_BITS+1:0] x3;
  wire logic [M_BITS-1:0] m;
  delay_line #(
      .WIDTH(2 * X_BITS + 2 + M_BITS), .CYCLES(SPAN == 1 && LEVELS > 0 ? 1 : 0)
  ) u_operands (
      .clk_i(clk_i), .en_i(en_i), .data_i({x_i, thrice, m_i}), .data_o({x, x3, m})
  );
  lut_product_tree #(
      .X_BITS(X_BITS), .M_BITS(M_BITS), .SPAN(SPAN), .LEVEL(LEVELS), .TOP(1)
  ) u_tree (
      .clk_i(clk_i), .en_i(en_i), .x_i(x), .thrice_i(x3), .m_i(m), .product_o(product_o)
  );
endmodule

`default_nettype wire
