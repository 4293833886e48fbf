// Product of two small integers, in LUTs or in a DSP block; combinational.
//
//   product_o = a_i * w_i
//
// A_BITS, A_SIGNED   type of a_i; A_SIGNED = 1 is two's complement
// W_BITS, W_SIGNED   type of w_i
// W_BIPOLAR          1: w_i is one bit, 1 for +1 and 0 for -1
// DSP                1: a multiplier, which synthesis puts into a DSP block; 0: the sum of the
//                    wider operand's multiples by the narrower one's bits, which it cannot
//
// product_o is two's complement and exact.
`default_nettype none

module multiply #(
    parameter int unsigned A_BITS    = 4,
    parameter int unsigned A_SIGNED  = 0,
    parameter int unsigned W_BITS    = 4,
    parameter int unsigned W_SIGNED  = 1,
    parameter int unsigned W_BIPOLAR = 0,
    parameter int unsigned DSP       = 0,
    localparam int unsigned PRODUCT_BITS =
        A_BITS + W_BITS + (A_SIGNED + W_SIGNED == 0 && W_BIPOLAR == 0 ? 1 : 0)
) (
    input  wire logic [A_BITS-1:0]       a_i,
    input  wire logic [W_BITS-1:0]       w_i,
    output wire logic [PRODUCT_BITS-1:0] product_o
);
  if (A_BITS < 1 || W_BITS < 1 || (W_BIPOLAR != 0 && W_BITS != 1)) begin : gen_bad
    $error("multiply: A_BITS and W_BITS must be at least 1, and W_BITS 1 where W_BIPOLAR");
  end

  if (DSP != 0 && W_BIPOLAR == 0) begin : gen_dsp
    localparam int unsigned SIGNED_A = A_SIGNED != 0 ? A_BITS : A_BITS + 1;
    localparam int unsigned SIGNED_W = W_SIGNED != 0 ? W_BITS : W_BITS + 1;
    wire logic signed [SIGNED_A-1:0] a =
        A_SIGNED != 0 ? SIGNED_A'($signed(a_i)) : SIGNED_A'(a_i);
    wire logic signed [SIGNED_W-1:0] w =
        W_SIGNED != 0 ? SIGNED_W'($signed(w_i)) : SIGNED_W'(w_i);
    wire logic signed [PRODUCT_BITS-1:0] product = a * w;
    assign product_o = product;
  end else begin : gen_lut
    wire logic [PRODUCT_BITS-1:0] a =
        A_SIGNED != 0 ? PRODUCT_BITS'($signed(a_i)) : PRODUCT_BITS'(a_i);
    wire logic [PRODUCT_BITS-1:0] w =
        W_SIGNED != 0 ? PRODUCT_BITS'($signed(w_i)) : PRODUCT_BITS'(w_i);
    localparam int unsigned N = A_BITS < W_BITS ? A_BITS : W_BITS;
    localparam int unsigned NARROW_SIGNED = A_BITS < W_BITS ? A_SIGNED : W_SIGNED;
    wire logic [PRODUCT_BITS-1:0] wide = A_BITS < W_BITS ? w : a;
    wire logic [N-1:0] narrow = A_BITS < W_BITS ? N'(a_i) : N'(w_i);
    logic [PRODUCT_BITS-1:0] sum;
    always_comb begin
      sum = '0;
      for (int unsigned i = 0; i < N; i++) begin
        if (NARROW_SIGNED != 0 && i == N - 1) sum = sum - ((narrow[i] ? wide : '0) << i);
        else sum = sum + ((narrow[i] ? wide : '0) << i);
      end
    end
    if (W_BIPOLAR != 0) begin : gen_sign
      assign product_o = w_i[0] ? a : -a;
    end else begin : gen_sum
      assign product_o = sum;
    end
    wire logic unused = &{1'b0, a, w, sum};
  end
endmodule

`default_nettype wire
