// Counters of seven bits each, in two LUTs of a carry chain (hwgen/layers/compressor.py explains).
//
//   ones[i] + 2 twos[i] + 4 fours[i] = number of ones among bits[7i .. 7i+6]
//
// COUNT   counters
// CHAIN   counters in one carry chain; they do not depend on one another
//
// Combinational. A chain has three positions a counter, and one for its last carry.
`default_nettype none

module counter_chains #(
    parameter int unsigned COUNT = 5,
    parameter int unsigned CHAIN = 5
) (
    input  wire logic [7*COUNT-1:0] bits_i,
    output wire logic [COUNT-1:0]   ones_o,
    output wire logic [COUNT-1:0]   twos_o,
    output wire logic [COUNT-1:0]   fours_o
);
  localparam logic [63:0] PARITY6 = 64'h6996_9669_9669_6996;
  // of the twos among five bits: are they one (O6, I5 = 1), are they two (O5)
  localparam logic [31:0] TWOS_ARE_1 = 32'h177e_7ee8;
  localparam logic [31:0] TWOS_ARE_2 = 32'he880_8000;

  for (genvar g = 0; g < COUNT; g += CHAIN) begin : gen_chain
    localparam int unsigned SIZE = COUNT - g < CHAIN ? COUNT - g : CHAIN;
    localparam int unsigned LENGTH = 3 * SIZE + 1;
    wire logic [LENGTH-1:0] s, d;
    // verilator lint_off UNUSEDSIGNAL
    wire logic [LENGTH-1:0] o;  // nothing comes out where the first bit goes in
    // verilator lint_on UNUSEDSIGNAL
    for (genvar i = 0; i < SIZE; i++) begin : gen_counter
      wire logic [6:0] b = bits_i[7*(g+i)+:7];
      wire logic unused;
      assign {s[3*i], d[3*i]} = {1'b0, b[6]};  // the seventh bit becomes the carry
      LUT6_2 #(.INIT(PARITY6)) u_parity (
          .I0(b[0]), .I1(b[1]), .I2(b[2]), .I3(b[3]), .I4(b[4]), .I5(b[5]),
          .O6(s[3*i+1]), .O5(unused)
      );
      assign d[3*i+1] = b[5];
      LUT6_2 #(.INIT({TWOS_ARE_1, TWOS_ARE_2})) u_twos (
          .I0(b[0]), .I1(b[1]), .I2(b[2]), .I3(b[3]), .I4(b[4]), .I5(1'b1),
          .O6(s[3*i+2]), .O5(d[3*i+2])
      );
      assign ones_o[g+i]  = o[3*i+1];
      assign twos_o[g+i]  = o[3*i+2];
      assign fours_o[g+i] = o[3*i+3];
    end
    assign {s[LENGTH-1], d[LENGTH-1]} = 2'b00;
    carry_chain #(.LENGTH(LENGTH)) u_chain (.carry_i(1'b0), .s_i(s), .d_i(d), .o_o(o));
  end
endmodule

`default_nettype wire
