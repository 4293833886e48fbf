// A LUT of 7-series for other parts: two functions of five inputs, or one of six. Combinational.
`default_nettype none

module LUT6_2 #(
    parameter logic [63:0] INIT = '0
) (
    input  wire logic I0, I1, I2, I3, I4, I5,
    output wire logic O5,
    output wire logic O6
);
  wire logic [4:0] low = {I4, I3, I2, I1, I0};
  assign O5 = INIT[{1'b0, low}];
  assign O6 = INIT[{I5, low}];
endmodule

`default_nettype wire
