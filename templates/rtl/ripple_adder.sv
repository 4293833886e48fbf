// Adds two numbers and a carry, one LUT a bit.
//
//   sum = x + y + carry
//
// WIDTH   bits of x and y; sum has one more
//
// Combinational.
`default_nettype none

module ripple_adder #(
    parameter int unsigned WIDTH = 4
) (
    input  wire logic             carry_i,
    input  wire logic [WIDTH-1:0] x_i,
    input  wire logic [WIDTH-1:0] y_i,
    output wire logic [WIDTH:0]   sum_o
);
  localparam logic [31:0] DIFFER = 32'h6666_6666;
  localparam logic [31:0] SECOND = 32'hcccc_cccc;
  wire logic [WIDTH:0] s, d;
  for (genvar i = 0; i < WIDTH; i++) begin : gen_bit
    LUT6_2 #(.INIT({DIFFER, SECOND})) u_bit (
        .I0(x_i[i]), .I1(y_i[i]), .I2(1'b0), .I3(1'b0), .I4(1'b0), .I5(1'b1),
        .O6(s[i]), .O5(d[i])
    );
  end
  assign {s[WIDTH], d[WIDTH]} = 2'b00;  // the carry leaves
  carry_chain #(.LENGTH(WIDTH + 1)) u_chain (.carry_i(carry_i), .s_i(s), .d_i(d), .o_o(sum_o));
endmodule

`default_nettype wire
