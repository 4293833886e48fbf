// The carry chain of templates/rtl/carry_chain.sv for parts without CARRY4: as a sum.
//
//   o[i] = s[i] ^ c[i],  c[i+1] = s[i] ? c[i] : d[i],  c[0] = carry
//
// d + (d ^ s) + carry has just these carries. Combinational.
`default_nettype none

module carry_chain #(
    parameter int unsigned LENGTH = 8
) (
    input  wire logic              carry_i,
    input  wire logic [LENGTH-1:0] s_i,
    input  wire logic [LENGTH-1:0] d_i,
    output wire logic [LENGTH-1:0] o_o
);
  assign o_o = d_i + (d_i ^ s_i) + LENGTH'(carry_i);
endmodule

`default_nettype wire
