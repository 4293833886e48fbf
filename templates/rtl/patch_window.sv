// Sliding window (im2col) that streams whole patches: KERNEL x KERNEL pixels a beat.
//
// HEIGHT, WIDTH, CHANNELS   image, channels-last; WIDTH at least 2
// KERNEL, STRIDE, PAD       of both directions; 2 * PAD < KERNEL. STRIDE may leave rows and
//                           columns unread and may exceed KERNEL.
// PAD_VALUE                 every padded element, as a bit pattern
// BITS                      bits of an element
//
// Input: a pixel a beat. Output: a patch a beat in the order ky, kx, channel, the first lowest.
// A step takes a pixel and moves the window over the image as one long row, so that the patches at
// its right border see the next row's first pixels, and those at its lower border pixels of no
// row: both are padding. Behind the last pixel the last patches need PAD * (WIDTH + 1) steps more
// (less where a stride leaves rows unread), in which no pixel is taken.
// Initiation interval of a frame: its steps. Latency 1, or 2 with padding, from the pixel that
// completes a patch. s_ready_o depends combinationally on m_ready_i.
// Memory: KERNEL - 1 rows in one memory of WIDTH words, read a step ahead; LUTRAM, or block RAM
// where large and deep (BLOCK). The output registers take the padding as their synchronous reset.
`default_nettype none

module patch_window #(
    parameter int unsigned HEIGHT    = 8,
    parameter int unsigned WIDTH     = 8,
    parameter int unsigned CHANNELS  = 8,
    parameter int unsigned KERNEL    = 3,
    parameter int unsigned STRIDE    = 1,
    parameter int unsigned PAD       = 1,
    parameter int unsigned PAD_VALUE = 0,
    parameter int unsigned BITS      = 1,
    // words and bits of the line buffer decide; 1: block RAM, 0: LUTRAM
    parameter int unsigned BLOCK =
        (KERNEL - 1) * WIDTH * CHANNELS * BITS > 8192 && WIDTH > 256 ? 1 : 0
) (
    input  wire logic                                   clk_i,
    input  wire logic                                   rst_i,
    input  wire logic                                   s_valid_i,
    output wire logic                                   s_ready_o,
    input  wire logic [CHANNELS*BITS-1:0]               s_data_i,
    output      logic                                   m_valid_o,
    input  wire logic                                   m_ready_i,
    output wire logic [KERNEL*KERNEL*CHANNELS*BITS-1:0] m_data_o
);
  if (KERNEL < 2 || STRIDE < 1 || 2 * PAD >= KERNEL || WIDTH < 2) begin : gen_bad_kernel
    $error("patch_window: KERNEL and WIDTH must be at least 2, STRIDE 1, 2 * PAD below KERNEL");
  end
  if (HEIGHT + 2 * PAD < KERNEL || WIDTH + 2 * PAD < KERNEL) begin : gen_bad_image
    $error("patch_window: the padded image must hold the kernel");
  end

  localparam int H = int'(HEIGHT);
  localparam int W = int'(WIDTH);
  localparam int K = int'(KERNEL);
  localparam int S = int'(STRIDE);
  localparam int P = int'(PAD);
  localparam int unsigned PIXEL = CHANNELS * BITS;
  localparam int unsigned COLUMN = (KERNEL - 1) * PIXEL;

  // Of the newest pixel in the window, which may lie in the padding on the right or below: x runs
  // from P to W - 1 + P, then the next row begins. A frame starts in the padding of row -1.
  localparam int FIRST_X = P > 0 ? W : 0;
  localparam int FIRST_Y = P > 0 ? -1 : 0;
  localparam int NEAREST = K - 1 - P;  // row and column of the newest pixel in the first patch
  localparam int PATCH_X = (W + 2 * P - K) / S * S + NEAREST;  // in the last patch
  localparam int PATCH_Y = (H + 2 * P - K) / S * S + NEAREST;
  localparam int STEPS = PATCH_Y * W + PATCH_X + 1 > H * W ? PATCH_Y * W + PATCH_X + 1 : H * W;
  localparam int LAST_X = (STEPS - 1 - P) % W + P;
  localparam int LAST_Y = (STEPS - 1 - LAST_X) / W;
  localparam int PIXEL_X = ((H + P) * W - 1 - P) % W + P;  // at the last pixel's step
  localparam int PIXEL_Y = (H * W - 1 - PIXEL_X) / W;
  localparam int unsigned X_BITS = $clog2(WIDTH + PAD);
  localparam int unsigned Y_BITS = $clog2(HEIGHT + PAD + 1) + 1;
  localparam int unsigned COL_BITS = $clog2(WIDTH);
  localparam int unsigned PHASE_BITS = S > 1 ? $clog2(S) : 1;

  logic [X_BITS-1:0] x;
  logic [Y_BITS-1:0] y;  // two's complement
  logic [COL_BITS-1:0] col;  // steps of the frame modulo WIDTH
  logic [PHASE_BITS-1:0] phase_x, phase_y;  // distance to the last column and row with a patch
  wire logic row_ends = x == X_BITS'(W - 1 + P);
  wire logic frame_ends = x == X_BITS'(LAST_X) && y == Y_BITS'(LAST_Y);
  logic tail;  // all pixels are taken
  wire logic patch = phase_x == '0 && phase_y == '0 && int'(x) >= NEAREST && int'(x) <= PATCH_X
      && int'($signed(y)) >= NEAREST && int'($signed(y)) <= PATCH_Y;

  wire logic en = m_ready_i || !m_valid_o;
  wire logic fire = en && (s_valid_i || tail);
  assign s_ready_o = en && !tail;

  wire logic [X_BITS-1:0] next_x = frame_ends ? X_BITS'(FIRST_X)
      : row_ends ? X_BITS'(P) : x + 1'b1;
  wire logic [Y_BITS-1:0] next_y = frame_ends ? Y_BITS'(FIRST_Y) : y + Y_BITS'(row_ends);
  wire logic [COL_BITS-1:0] next_col =
      frame_ends || col == COL_BITS'(W - 1) ? '0 : col + 1'b1;
  wire logic to_first = NEAREST == P ? row_ends : x == X_BITS'(NEAREST - 1);
  function automatic logic [PHASE_BITS-1:0] after(input logic [PHASE_BITS-1:0] phase);
    after = phase == PHASE_BITS'(S - 1) ? '0 : phase + 1'b1;
  endfunction
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      x       <= X_BITS'(FIRST_X);
      y       <= Y_BITS'(FIRST_Y);
      col     <= '0;
      tail    <= 1'b0;
      phase_x <= '0;
      phase_y <= '0;
    end else if (fire) begin
      x       <= next_x;
      y       <= next_y;
      col     <= next_col;
      tail    <= !frame_ends
          && (tail || (x == X_BITS'(PIXEL_X) && y == Y_BITS'(PIXEL_Y)));
      phase_x <= to_first ? '0 : after(phase_x);
      if (row_ends) phase_y <= y == Y_BITS'(NEAREST - 1) ? '0 : after(phase_y);
    end
  end

  // The pixels above the newest one, KERNEL - 1 rows up first.
  logic [COLUMN-1:0] above;
  wire logic [COLUMN+PIXEL-1:0] column = {s_data_i, above};
  if (BLOCK != 0) begin : gen_block
    (* ram_style = "block" *) logic [COLUMN-1:0] ram[WIDTH];
    always_ff @(posedge clk_i) begin
      if (fire) begin
        ram[col] <= column[COLUMN+PIXEL-1:PIXEL];
        above    <= ram[next_col];
      end
    end
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [COLUMN-1:0] ram[WIDTH];
    always_ff @(posedge clk_i) begin
      if (fire) begin
        ram[col] <= column[COLUMN+PIXEL-1:PIXEL];
        above    <= ram[next_col];
      end
    end
  end

  // Row ky of the window at bit ky*KERNEL*PIXEL, its newest pixel highest.
  logic [KERNEL*KERNEL*PIXEL-1:0] window;
  for (genvar ky = 0; ky < KERNEL; ky++) begin : gen_row
    localparam int unsigned AT = ky * KERNEL * PIXEL;
    always_ff @(posedge clk_i) begin
      if (fire) begin
        window[AT+:KERNEL*PIXEL] <=
            {column[ky*PIXEL+:PIXEL], window[AT+PIXEL+:(KERNEL-1)*PIXEL]};
      end
    end
  end

  if (PAD == 0) begin : gen_plain
    always_ff @(posedge clk_i) begin
      if (rst_i) m_valid_o <= 1'b0;
      else if (en) m_valid_o <= fire && patch;
    end
    assign m_data_o = window;
  end else begin : gen_padded
    logic valid;
    logic [KERNEL-1:0] out_x, out_y;  // columns and rows of the window outside the image
    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        valid     <= 1'b0;
        m_valid_o <= 1'b0;
      end else if (en) begin
        valid     <= fire && patch;
        m_valid_o <= valid;
      end
    end
    logic [KERNEL*KERNEL*PIXEL-1:0] padded;
    assign m_data_o = padded;
    for (genvar k = 0; k < KERNEL; k++) begin : gen_outside
      localparam int BACK = K - 1 - k;  // behind the newest pixel
      always_ff @(posedge clk_i) begin
        if (en) begin
          out_x[k] <= int'(x) < BACK || int'(x) >= BACK + W;
          out_y[k] <= int'($signed(y)) < BACK || int'($signed(y)) >= BACK + H;
        end
      end
    end
    for (genvar t = 0; t < KERNEL * KERNEL; t++) begin : gen_tap
      wire logic outside = out_y[t/KERNEL] || out_x[t%KERNEL];
      always_ff @(posedge clk_i) begin
        if (en) begin
          padded[t*PIXEL+:PIXEL] <=
              outside ? {CHANNELS{BITS'(PAD_VALUE)}} : window[t*PIXEL+:PIXEL];
        end
      end
    end
  end
endmodule

`default_nettype wire
