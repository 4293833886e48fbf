// Largest value of every KERNEL x KERNEL patch of an image, by channel.
//
//   y[r, q, c] = max of x[r*STRIDE + i - PAD, q*STRIDE + j - PAD, c], i, j < KERNEL, within the image
//
// HEIGHT, WIDTH, CHANNELS   image, channels-last
// KERNEL, STRIDE, PAD       of both directions; 2*PAD <= KERNEL, so that no patch is padding alone
// PE                        channels a beat, divides CHANNELS
// BITS, SIGNED              type of x and of y; SIGNED = 1 is two's complement
// ROWS                      rows of the line buffer (sliding_window.sv)
// REGISTER                  1: another register behind the read of the line buffer
//
// A sliding window, padded with the lowest value, and a running maximum. Latency 2 + REGISTER from the beat
// that completes a patch, initiation interval that of the window, without a bubble. s_ready_o is
// made of registers.
// Memory: the window's line buffer; LUTRAM, word f holds the maxima so far of channels
// f*PE .. f*PE+PE-1, the lowest first; a register where CHANNELS = PE. It needs no clearing, the
// first tap overwrites it.
`default_nettype none

module pool_max #(
    parameter int unsigned HEIGHT   = 8,
    parameter int unsigned WIDTH    = 8,
    parameter int unsigned CHANNELS = 4,
    parameter int unsigned KERNEL   = 3,
    parameter int unsigned STRIDE   = 2,
    parameter int unsigned PAD      = 1,
    parameter int unsigned PE       = 1,
    parameter int unsigned BITS     = 8,
    parameter int unsigned SIGNED   = 1,
    parameter int unsigned ROWS     = KERNEL + STRIDE,
    parameter int unsigned REGISTER = 0
) (
    input  wire logic               clk_i,
    input  wire logic               rst_i,
    input  wire logic               s_valid_i,
    output wire logic               s_ready_o,
    input  wire logic [PE*BITS-1:0] s_data_i,
    output      logic               m_valid_o,
    input  wire logic               m_ready_i,
    output      logic [PE*BITS-1:0] m_data_o
);
  if (KERNEL < 2 || 2 * PAD > KERNEL) begin : gen_bad_pad
    $error("pool_max: KERNEL must be at least 2, PAD at most half of it");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned TAPS = KERNEL * KERNEL;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned TAP_BITS = $clog2(TAPS);
  localparam int unsigned LOWEST = SIGNED != 0 ? 1 << (BITS - 1) : 0;

  wire logic shown_valid, tap_valid, tap_ready;
  wire logic [PE*BITS-1:0] shown_data, tap_data;
  sliding_window #(
      .HEIGHT(HEIGHT), .WIDTH(WIDTH), .CHANNELS(CHANNELS), .KERNEL(KERNEL), .STRIDE(STRIDE),
      .PAD(PAD), .PAD_VALUE(LOWEST), .BITS(BITS), .SIMD(PE), .ROWS(ROWS)
  ) u_window (
      .clk_i(clk_i), .rst_i(rst_i),
      .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(shown_valid), .m_ready_i(tap_ready), .m_data_o(shown_data)
  );
  delay_line #(.WIDTH(PE * BITS), .CYCLES(REGISTER)) u_tap (
      .clk_i(clk_i), .en_i(tap_ready), .data_i(shown_data), .data_o(tap_data)
  );
  if (REGISTER != 0) begin : gen_read
    logic valid;
    always_ff @(posedge clk_i) begin
      if (rst_i) valid <= 1'b0;
      else if (tap_ready) valid <= shown_valid;
    end
    assign tap_valid = valid;
  end else begin : gen_no_read
    assign tap_valid = shown_valid;
  end

  logic [FOLD_BITS-1:0] fold;
  logic [TAP_BITS-1:0] tap;
  wire logic last_fold = fold == FOLD_BITS'(FOLD - 1);
  wire logic last_tap = tap == TAP_BITS'(TAPS - 1);
  wire logic fire = tap_valid && tap_ready;
  assign tap_ready = m_ready_i || !m_valid_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      fold      <= '0;
      tap       <= '0;
    end else begin
      if (tap_ready) m_valid_o <= fire && last_tap;
      if (fire) fold <= last_fold ? '0 : fold + 1'b1;
      if (fire && last_fold) tap <= last_tap ? '0 : tap + 1'b1;
    end
  end

  logic [PE*BITS-1:0] so_far, largest;
  if (BITS == 1) begin : gen_bits
    wire logic [PE-1:0] pair = SIGNED != 0 ? tap_data & so_far : tap_data | so_far;
    assign largest = tap == '0 ? tap_data : pair;
  end else begin : gen_numbers
    for (genvar i = 0; i < PE; i++) begin : gen_lane
      wire logic [BITS-1:0] x = tap_data[BITS*i+:BITS];
      wire logic [BITS-1:0] held = so_far[BITS*i+:BITS];
      wire logic greater = SIGNED != 0 ? $signed(x) > $signed(held) : x > held;
      assign largest[BITS*i+:BITS] = tap == '0 || greater ? x : held;
    end
  end

  if (FOLD == 1) begin : gen_register
    always_ff @(posedge clk_i) if (fire) so_far <= largest;
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [PE*BITS-1:0] ram[FOLD];
    assign so_far = ram[fold];
    always_ff @(posedge clk_i) if (fire) ram[fold] <= largest;
  end
  always_ff @(posedge clk_i) if (fire) m_data_o <= largest;
endmodule

`default_nettype wire
