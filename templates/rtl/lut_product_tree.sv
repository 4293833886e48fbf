// The tree of lut_product.sv: a node multiplies x by the low and by the high bits of m, and adds.
//
// X_BITS, M_BITS, SPAN   as lut_product.sv has them
// LEVEL            adders in a row at most, with registers at the same levels in all branches
// TOP              1: no register behind the node itself
//
// thrice_i is 3x. The low bits of the lower product are the whole product's own, so an adder is
// as wide as the higher product. Synthesis takes the second operand of an adder, where it is a
// choice among multiples of x, into the adder's LUTs.
`default_nettype none

module lut_product_tree #(
    parameter int unsigned X_BITS = 9,
    parameter int unsigned M_BITS = 15,
    parameter int unsigned SPAN   = 32,
    parameter int unsigned LEVEL  = $clog2((M_BITS + 1) / 2),
    parameter int unsigned TOP    = 0
) (
    input  wire logic                     clk_i,
    input  wire logic                     en_i,
    input  wire logic [X_BITS-1:0]        x_i,
    input  wire logic [X_BITS+1:0]        thrice_i,
    input  wire logic [M_BITS-1:0]        m_i,
    output wire logic [X_BITS+M_BITS-1:0] product_o
);
  // Registers up to a level, that of 3x aside: behind adder 2, 3, ... where SPAN divides it.
  localparam int unsigned FIRST = SPAN == 1 ? 1 : 0;
  localparam int unsigned BELOW = LEVEL > 0 ? LEVEL / SPAN - FIRST : 0;
  localparam int unsigned LATENCY = TOP != 0 || LEVEL == 0 ? BELOW : (LEVEL + 1) / SPAN - FIRST;

  wire logic [X_BITS+M_BITS-1:0] product;
  if (M_BITS == 1) begin : gen_bit
    assign product = m_i[0] ? (X_BITS + 1)'($signed(x_i)) : '0;
    wire logic unused = &{1'b0, thrice_i};
  end else if (M_BITS == 2) begin : gen_two
    wire logic [X_BITS+1:0] once = (X_BITS + 2)'($signed(x_i));
    assign product = m_i[1] ? (m_i[0] ? thrice_i : once << 1) : (m_i[0] ? once : '0);
  end else begin : gen_node
    localparam int unsigned LOW = (M_BITS + 3) / 4 * 2;  // half of them, rounded up to pairs
    localparam int unsigned HIGH = M_BITS - LOW;
    wire logic [X_BITS+LOW-1:0] low;
    wire logic [X_BITS+HIGH-1:0] high;
    lut_product_tree #(.X_BITS(X_BITS), .M_BITS(LOW), .SPAN(SPAN), .LEVEL(LEVEL - 1)) u_low (
        .clk_i(clk_i), .en_i(en_i),
        .x_i(x_i), .thrice_i(thrice_i), .m_i(m_i[LOW-1:0]), .product_o(low)
    );
    lut_product_tree #(.X_BITS(X_BITS), .M_BITS(HIGH), .SPAN(SPAN), .LEVEL(LEVEL - 1)) u_high (
        .clk_i(clk_i), .en_i(en_i),
        .x_i(x_i), .thrice_i(thrice_i), .m_i(m_i[M_BITS-1:LOW]), .product_o(high)
    );
    // no overflow: |x * m| is at most 2^(X_BITS - 1) * (2^M_BITS - 1)
    wire logic [X_BITS+HIGH-1:0] carried = (X_BITS + HIGH)'($signed(low[X_BITS+LOW-1:LOW]));
    assign product = {carried + high, low[LOW-1:0]};
  end
  // a choice alone has all registers behind it, a node its own
  delay_line #(
      .WIDTH(X_BITS + M_BITS), .CYCLES(M_BITS <= 2 ? LATENCY : LATENCY - BELOW)
  ) u_product (
      .clk_i(clk_i), .en_i(en_i), .data_i(product), .data_o(product_o)
  );
endmodule

`default_nettype wire
