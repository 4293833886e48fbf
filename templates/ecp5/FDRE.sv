// The flip-flop of 7-series for other parts: synchronous reset over enable.
`default_nettype none

module FDRE #(
    parameter logic INIT = 1'b0
) (
    input  wire logic C, CE, R, D,
    output      logic Q
);
  initial Q = INIT;
  always_ff @(posedge C) begin
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
  end
endmodule

`default_nettype wire
