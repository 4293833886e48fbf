// A carry chain of 7-series slices (UltraScale: tools make CARRY8 of two CARRY4).
//
//   o[i] = s[i] ^ c[i],  c[i+1] = s[i] ? c[i] : d[i],  c[0] = carry
//
// LENGTH   positions
//
// Combinational. c[0] and d[0] both come from the slice where d[0] is made by its LUT; where it is
// not, carry_i has to be constant, because both would need the slice's AX input.
`default_nettype none

module carry_chain #(
    parameter int unsigned LENGTH = 8
) (
    input  wire logic              carry_i,
    input  wire logic [LENGTH-1:0] s_i,
    input  wire logic [LENGTH-1:0] d_i,
    output wire logic [LENGTH-1:0] o_o
);
  localparam int unsigned SLICES = (LENGTH + 3) / 4;
  wire logic [4*SLICES-1:0] s = (4 * SLICES)'(s_i), d = (4 * SLICES)'(d_i);
  // verilator lint_off UNUSEDSIGNAL
  wire logic [4*SLICES-1:0] o, c;
  // verilator lint_on UNUSEDSIGNAL
  assign o_o = o[LENGTH-1:0];

  for (genvar i = 0; i < SLICES; i++) begin : gen_slice
    if (i == 0) begin : gen_first
      CARRY4 u_carry (
          .CI(1'b0), .CYINIT(carry_i), .S(s[3:0]), .DI(d[3:0]), .O(o[3:0]), .CO(c[3:0])
      );
    end else begin : gen_next
      CARRY4 u_carry (
          .CI(c[4*i-1]), .CYINIT(1'b0),
          .S(s[4*i+:4]), .DI(d[4*i+:4]), .O(o[4*i+:4]), .CO(c[4*i+:4])
      );
    end
  end
endmodule

`default_nettype wire
