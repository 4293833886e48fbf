// Depthwise product with bias: every channel of a patch by its own weights.
//
//   y[c] = bias[c] + sum over t of x[t, c] * W[t, c]; exact where ACC_BITS holds y
//
// TAPS, CHANNELS       taps of a patch, and channels of a tap
// PE                   channels a cycle, divides CHANNELS; FOLD = CHANNELS/PE
// A_BITS, A_SIGNED     type of x; A_SIGNED = 1 is two's complement
// W_BITS, W_SIGNED     type of W
// W_BIPOLAR            1: an entry of W is one bit, 1 for +1 and 0 for -1
// DSP                  1: products are made in DSP blocks; 0: in LUTs (multiply.sv)
// ACC_BITS             bits of an output lane
// WEIGHTS              memory file; word t*FOLD + f holds W[t, f*PE + p] at bit p*W_BITS
// REGISTER             1: another register behind the read of the weights, and beside it
// BIAS                 memory file; word f holds bias[f*PE + p] at bit p*ACC_BITS
//
// Input: TAPS*FOLD beats a patch, tap by tap, channels fastest, as a sliding window makes them.
// Output: FOLD beats a patch. Initiation interval TAPS*FOLD a patch, without a bubble. Latency
// 3 + REGISTER from a beat of the last tap to its sums. s_ready_o depends combinationally on m_ready_i.
// Memories: weights and bias (LUTs, or block RAM where large); LUTRAM of FOLD words for the sums so
// far, a register where there is one word. It needs no clearing, the first tap overwrites it.
`default_nettype none

module depthwise #(
    parameter int unsigned TAPS      = 9,
    parameter int unsigned CHANNELS  = 8,
    parameter int unsigned PE        = 2,
    parameter int unsigned A_BITS    = 4,
    parameter int unsigned A_SIGNED  = 0,
    parameter int unsigned W_BITS    = 4,
    parameter int unsigned W_SIGNED  = 1,
    parameter int unsigned W_BIPOLAR = 0,
    parameter int unsigned DSP       = 0,
    parameter int unsigned ACC_BITS  = 12,
    parameter int unsigned REGISTER  = 0,
    parameter              WEIGHTS,
    parameter              BIAS
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire logic                   s_valid_i,
    output wire logic                   s_ready_o,
    input  wire logic [PE*A_BITS-1:0]   s_data_i,
    output      logic                   m_valid_o,
    input  wire logic                   m_ready_i,
    output      logic [PE*ACC_BITS-1:0] m_data_o
);
  if (TAPS < 1 || PE < 1 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("depthwise: TAPS must be at least 1, and PE must divide CHANNELS");
  end
  if (A_BITS < 1 || W_BITS < 1 || ACC_BITS < 1) begin : gen_bad_bits
    $error("depthwise: A_BITS, W_BITS and ACC_BITS must be at least 1");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned WORDS = TAPS * FOLD;
  localparam int unsigned WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned PRODUCT_BITS =
      A_BITS + W_BITS + (A_SIGNED + W_SIGNED == 0 && W_BIPOLAR == 0 ? 1 : 0);

  wire logic en = m_ready_i || !m_valid_o;
  assign s_ready_o = en;

  // Of the beat that arrives; of what is read for it (0); of the operands (1); of the products (2).
  logic [WORD_BITS-1:0] word;
  logic [FOLD_BITS-1:0] fold, fold_0, fold_2;
  wire logic [FOLD_BITS-1:0] fold_1;
  logic valid_0, valid_2, first_0, first_2, last_0, last_2;
  wire logic valid_1, first_1, last_1;
  wire logic last_fold = fold == FOLD_BITS'(FOLD - 1);
  wire logic last_word = word == WORD_BITS'(WORDS - 1);
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      word      <= '0;
      fold      <= '0;
      valid_0   <= 1'b0;
      valid_2   <= 1'b0;
      m_valid_o <= 1'b0;
    end else if (en) begin
      valid_0   <= s_valid_i;
      valid_2   <= valid_1;
      m_valid_o <= valid_2 && last_2;
      if (s_valid_i) begin
        word <= last_word ? '0 : word + 1'b1;
        fold <= last_fold ? '0 : fold + 1'b1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (en) begin
      fold_0  <= fold;
      fold_2  <= fold_1;
      first_0 <= 32'(word) < FOLD;
      first_2 <= first_1;
      last_0  <= 32'(word) + FOLD >= WORDS;
      last_2  <= last_1;
    end
  end

  logic [PE*A_BITS-1:0] a_read;
  wire logic [PE*W_BITS-1:0] w_read;
  wire logic [PE*ACC_BITS-1:0] bias;  // of the products
  always_ff @(posedge clk_i) if (en) a_read <= s_data_i;
  rom #(.WIDTH(PE * W_BITS), .DEPTH(WORDS), .INIT(WEIGHTS)) u_weights (
      .clk_i(clk_i), .en_i(en), .addr_i(word), .data_o(w_read)
  );
  wire logic [PE*A_BITS-1:0] a;
  wire logic [PE*W_BITS-1:0] w;
  delay_line #(.WIDTH(PE * (A_BITS + W_BITS) + FOLD_BITS + 2), .CYCLES(REGISTER)) u_operands (
      .clk_i(clk_i), .en_i(en), .data_i({a_read, w_read, fold_0, first_0, last_0}),
      .data_o({a, w, fold_1, first_1, last_1})
  );
  if (REGISTER != 0) begin : gen_read
    logic valid;
    always_ff @(posedge clk_i) begin
      if (rst_i) valid <= 1'b0;
      else if (en) valid <= valid_0;
    end
    assign valid_1 = valid;
  end else begin : gen_no_read
    assign valid_1 = valid_0;
  end
  rom #(.WIDTH(PE * ACC_BITS), .DEPTH(FOLD), .INIT(BIAS)) u_bias (
      .clk_i(clk_i), .en_i(en), .addr_i(fold_1), .data_o(bias)
  );

  logic [PE*ACC_BITS-1:0] so_far, sums;
  wire logic add = en && valid_2;
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    wire logic [PRODUCT_BITS-1:0] product;
    logic [PRODUCT_BITS-1:0] product_2;
    multiply #(
        .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .W_SIGNED(W_SIGNED),
        .W_BIPOLAR(W_BIPOLAR), .DSP(DSP)
    ) u_product (
        .a_i(a[A_BITS*p+:A_BITS]), .w_i(w[W_BITS*p+:W_BITS]), .product_o(product)
    );
    always_ff @(posedge clk_i) if (en) product_2 <= product;
    wire logic [ACC_BITS-1:0] base =
        first_2 ? bias[ACC_BITS*p+:ACC_BITS] : so_far[ACC_BITS*p+:ACC_BITS];
    assign sums[ACC_BITS*p+:ACC_BITS] = ACC_BITS'($signed(product_2)) + base;
  end
  always_ff @(posedge clk_i) if (add) m_data_o <= sums;

  if (FOLD == 1) begin : gen_register
    always_ff @(posedge clk_i) if (add) so_far <= sums;
    wire logic unused = &{1'b0, fold_2};
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [PE*ACC_BITS-1:0] ram[FOLD];
    assign so_far = ram[fold_2];
    always_ff @(posedge clk_i) if (add) ram[fold_2] <= sums;
  end
endmodule

`default_nettype wire
