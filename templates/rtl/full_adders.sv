// Full adders, one LUT each.
//
//   ones[i] + 2 twos[i] = number of ones among bits[3i .. 3i+2]
//
// COUNT   adders
//
// Combinational.
`default_nettype none

module full_adders #(
    parameter int unsigned COUNT = 1
) (
    input  wire logic [3*COUNT-1:0] bits_i,
    output wire logic [COUNT-1:0]   ones_o,
    output wire logic [COUNT-1:0]   twos_o
);
  localparam logic [31:0] PARITY3 = 32'h9696_9696;
  localparam logic [31:0] MAJORITY3 = 32'he8e8_e8e8;
  for (genvar i = 0; i < COUNT; i++) begin : gen_adder
    LUT6_2 #(.INIT({PARITY3, MAJORITY3})) u_adder (
        .I0(bits_i[3*i]), .I1(bits_i[3*i+1]), .I2(bits_i[3*i+2]),
        .I3(1'b0), .I4(1'b0), .I5(1'b1), .O6(ones_o[i]), .O5(twos_o[i])
    );
  end
endmodule

`default_nettype wire
