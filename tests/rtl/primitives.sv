// Models of the 7-series primitives that structural kernels instantiate, after UG953.

module LUT6_2 #(parameter logic [63:0] INIT = 64'h0) (
    output wire logic O6, output wire logic O5,
    input wire logic I0, input wire logic I1, input wire logic I2,
    input wire logic I3, input wire logic I4, input wire logic I5
);
  wire logic [5:0] address = {I5, I4, I3, I2, I1, I0};
  assign O6 = INIT[address];
  assign O5 = INIT[{1'b0, address[4:0]}];
endmodule

module CARRY4 (
    output wire logic [3:0] CO, output wire logic [3:0] O,
    input wire logic CI, input wire logic CYINIT,
    input wire logic [3:0] DI, input wire logic [3:0] S
);
  wire logic c0 = CI | CYINIT;
  wire logic c1 = S[0] ? c0 : DI[0];
  wire logic c2 = S[1] ? c1 : DI[1];
  wire logic c3 = S[2] ? c2 : DI[2];
  wire logic c4 = S[3] ? c3 : DI[3];
  assign CO = {c4, c3, c2, c1};
  assign O = S ^ {c3, c2, c1, c0};
endmodule

module FDRE (output logic Q, input wire logic C, input wire logic CE, input wire logic D,
             input wire logic R);
  always_ff @(posedge C) begin
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
  end
endmodule
