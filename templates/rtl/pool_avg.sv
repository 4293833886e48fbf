// Averages every KERNEL x KERNEL square of an image: a pool whose squares do not overlap.
//
//   y[r, q, c] = floor(sum of x[r*KERNEL + i, q*KERNEL + j, c], i, j < KERNEL, / KERNEL^2)
//
// HEIGHT, WIDTH   pixels of an image, multiples of KERNEL
// CHANNELS        channels of a pixel
// KERNEL          side of a square and distance of squares, a power of two
// PE              channels a beat, divides CHANNELS
// BITS, SIGNED    type of x and of y; SIGNED = 1 is two's complement, rounded down as well
//
// Input channels-last, CHANNELS/PE beats a pixel. A mean leaves when the last pixel of its square
// arrives; no pixel is kept, only sums. Latency 1 from that beat to its mean, initiation interval
// HEIGHT*WIDTH*CHANNELS/PE a frame, without a bubble. s_ready_o depends combinationally on
// m_ready_i.
// Memory: LUTRAM, word q*CHANNELS/PE + f holds the running sums of channels f*PE .. f*PE+PE-1 of
// square q of a row of squares, the lowest first; a register where there is one word. It needs no
// clearing, the first pixel of a square overwrites it.
`default_nettype none

module pool_avg #(
    parameter int unsigned HEIGHT   = 4,
    parameter int unsigned WIDTH    = 4,
    parameter int unsigned CHANNELS = 4,
    parameter int unsigned KERNEL   = 2,
    parameter int unsigned PE       = 1,
    parameter int unsigned BITS     = 8,
    parameter int unsigned SIGNED   = 1
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
  if (KERNEL < 2 || (KERNEL & (KERNEL - 1)) != 0) begin : gen_bad_kernel
    $error("pool_avg: KERNEL must be a power of two, at least 2");
  end
  if (HEIGHT < 1 || WIDTH < 1 || HEIGHT % KERNEL != 0 || WIDTH % KERNEL != 0) begin : gen_bad_image
    $error("pool_avg: HEIGHT and WIDTH must be multiples of KERNEL");
  end
  if (PE < 1 || BITS < 1 || CHANNELS < 1 || CHANNELS % PE != 0) begin : gen_bad_shape
    $error("pool_avg: BITS must be at least 1, and PE must divide CHANNELS");
  end

  localparam int unsigned FOLD = CHANNELS / PE;
  localparam int unsigned COLUMNS = WIDTH / KERNEL;
  localparam int unsigned WORDS = COLUMNS * FOLD;
  localparam int unsigned SHIFT = 2 * $clog2(KERNEL);
  localparam int unsigned SUM_BITS = BITS + SHIFT;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned TAP_BITS = $clog2(KERNEL);
  localparam int unsigned WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1;

  logic [FOLD_BITS-1:0] fold;
  logic [TAP_BITS-1:0] tap_x, tap_y;  // within the square; they wrap by themselves
  // Word of the square's first channels; where a power of two of words is a square, without an
  // adder its number alone.
  localparam int unsigned STEP = 2 ** $clog2(FOLD) == FOLD ? 1 : FOLD;
  logic [WORD_BITS-1:0] base;
  wire logic [WORD_BITS-1:0] word =
      STEP == 1 ? (base << $clog2(FOLD)) | WORD_BITS'(fold) : base + WORD_BITS'(fold);
  wire logic last_fold = fold == FOLD_BITS'(FOLD - 1);
  wire logic last_x = &tap_x;
  wire logic last_column = word == WORD_BITS'(WORDS - 1);  // with last_fold, last_x: a row ends
  wire logic fire = s_valid_i && s_ready_o;
  assign s_ready_o = m_ready_i || !m_valid_o;

  // Rows of squares are alike, so the image's height and the square's row are not counted.
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o <= 1'b0;
      fold      <= '0;
      tap_x     <= '0;
      tap_y     <= '0;
      base      <= '0;
    end else begin
      if (s_ready_o) m_valid_o <= fire && last_x && &tap_y;
      if (fire) fold <= last_fold ? '0 : fold + 1'b1;
      if (fire && last_fold) begin
        tap_x <= tap_x + 1'b1;
        if (last_x) base <= last_column ? '0 : base + WORD_BITS'(STEP);
        if (last_x && last_column) tap_y <= tap_y + 1'b1;
      end
    end
  end

  logic [PE*SUM_BITS-1:0] so_far, sums;
  wire logic first = tap_x == '0 && tap_y == '0;
  for (genvar i = 0; i < PE; i++) begin : gen_lane
    wire logic [BITS-1:0] x = s_data_i[BITS*i+:BITS];
    wire logic [SUM_BITS-1:0] wide_x = SIGNED != 0 ? SUM_BITS'($signed(x)) : SUM_BITS'(x);
    wire logic [SUM_BITS-1:0] start = first ? '0 : so_far[SUM_BITS*i+:SUM_BITS];
    assign sums[SUM_BITS*i+:SUM_BITS] = start + wide_x;
    always_ff @(posedge clk_i) begin
      if (fire) m_data_o[BITS*i+:BITS] <= sums[SUM_BITS*i+SHIFT+:BITS];
    end
  end

  if (WORDS == 1) begin : gen_register
    always_ff @(posedge clk_i) if (fire) so_far <= sums;
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [PE*SUM_BITS-1:0] ram[WORDS];
    assign so_far = ram[word];
    always_ff @(posedge clk_i) if (fire) ram[word] <= sums;
  end
endmodule

`default_nettype wire
