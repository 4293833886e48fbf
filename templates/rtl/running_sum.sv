// Adds numbers up, from a start value on, modulo 2^WIDTH.
//
//   sum = x + (first ? start : sum before)
//
// WIDTH     bits of the sum
// IN_BITS   bits of x, at most WIDTH
// HOLD      0: every x is a first one, and there is no register
//
// sum_o is combinational; it is kept as the sum before in cycles with add_i. One LUT a bit: the
// choice of the start value goes into the LUT of the adder.
`default_nettype none

module running_sum #(
    parameter int unsigned WIDTH   = 10,
    parameter int unsigned IN_BITS = 7,
    parameter int unsigned HOLD    = 1
) (
    input  wire logic               clk_i,
    input  wire logic               add_i,
    input  wire logic               first_i,
    input  wire logic [WIDTH-1:0]   start_i,
    input  wire logic [IN_BITS-1:0] x_i,
    output wire logic [WIDTH-1:0]   sum_o
);
  if (IN_BITS > WIDTH) begin : gen_bad
    $error("running_sum: IN_BITS must be at most WIDTH");
  end
  wire logic [WIDTH-1:0] x = WIDTH'(x_i);
  logic [WIDTH-1:0] kept;
  if (HOLD != 0) begin : gen_hold
    always_ff @(posedge clk_i) if (add_i) kept <= sum_o;
  end else begin : gen_pass
    assign kept = '0;
    wire logic unused = &{1'b0, clk_i, add_i};
  end

`ifdef VERILATOR
  assign sum_o = x + (first_i ? start_i : kept);
`else
  // of I0 + (I3 ? I2 : I1): do the two differ (O6, I5 = 1), x itself (O5)
  localparam logic [31:0] DIFFER = 32'h5a66_5a66;
  localparam logic [31:0] X = 32'haaaa_aaaa;
  wire logic [WIDTH-1:0] s, d;
  for (genvar i = 0; i < WIDTH; i++) begin : gen_bit
    LUT6_2 #(.INIT({DIFFER, X})) u_bit (
        .I0(x[i]), .I1(kept[i]), .I2(start_i[i]), .I3(first_i), .I4(1'b0), .I5(1'b1),
        .O6(s[i]), .O5(d[i])
    );
  end
  carry_chain #(.LENGTH(WIDTH)) u_chain (.carry_i(1'b0), .s_i(s), .d_i(d), .o_o(sum_o));
`endif
endmodule

`default_nettype wire
