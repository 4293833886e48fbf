// Sliding window (im2col): pads an image and streams its KERNEL x KERNEL patches, tap by tap.
//
// HEIGHT, WIDTH, CHANNELS   image, channels-last
// KERNEL, STRIDE, PAD       of both directions; PAD < KERNEL. STRIDE may leave rows and columns
//                           unread and may exceed KERNEL.
// PAD_VALUE                 every padded element, as a bit pattern
// BITS                      bits of an element
// SIMD                      channels a beat, in and out; divides CHANNELS
// ROWS                      rows of the line buffer, at least KERNEL + STRIDE
//
// Output order: patch row, patch column, ky, kx, channel. Padding is made by address generation:
// no cycles, no memory. A beat waits only for the very input beat that it shows (the first one of
// a frame for the frame's first input), and rows are given back whole, so that the next frame is
// read in while the end of this one leaves.
// Latency 1. Initiation interval of a frame: its output beats, or its input beats if more; the
// line buffer hides the refill between frames where ROWS >= 2*(KERNEL - PAD) + the rows that the
// stride leaves unread. s_ready_o is made of registers.
// Memory: ROWS rows of WIDTH*CHANNELS/SIMD words, a ring; LUTRAM, or block RAM where
// large and deep (BLOCK). The read register takes the padding as its synchronous reset.
`default_nettype none

module sliding_window #(
    parameter int unsigned HEIGHT    = 8,
    parameter int unsigned WIDTH     = 8,
    parameter int unsigned CHANNELS  = 8,
    parameter int unsigned KERNEL    = 3,
    parameter int unsigned STRIDE    = 1,
    parameter int unsigned PAD       = 1,
    parameter int unsigned PAD_VALUE = 0,
    parameter int unsigned BITS      = 1,
    parameter int unsigned SIMD      = 8,
    parameter int unsigned ROWS      = KERNEL + STRIDE,
    // words and bits of the line buffer decide; 1: block RAM, 0: LUTRAM
    parameter int unsigned BLOCK = ROWS * WIDTH * CHANNELS * BITS > 8192
        && ROWS * WIDTH * (CHANNELS / SIMD) > 256 ? 1 : 0
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 s_valid_i,
    output wire logic                 s_ready_o,
    input  wire logic [SIMD*BITS-1:0] s_data_i,
    output      logic                 m_valid_o,
    input  wire logic                 m_ready_i,
    output      logic [SIMD*BITS-1:0] m_data_o
);
  if (SIMD < 1 || CHANNELS < 1 || CHANNELS % SIMD != 0 || BITS < 1) begin : gen_bad_simd
    $error("sliding_window: SIMD must divide CHANNELS");
  end
  if (KERNEL < 1 || STRIDE < 1 || PAD >= KERNEL || ROWS < KERNEL + STRIDE)
  begin : gen_bad_kernel
    $error("sliding_window: KERNEL and STRIDE must be at least 1, PAD below KERNEL, ROWS enough");
  end
  if (HEIGHT + 2 * PAD < KERNEL || WIDTH + 2 * PAD < KERNEL) begin : gen_bad_image
    $error("sliding_window: the padded image must hold the kernel");
  end

  // Positions are input beats: linear in the frame, or modulo DEPTH as addresses of the ring.
  localparam int K = int'(KERNEL);
  localparam int S = int'(STRIDE);
  localparam int P = int'(PAD);
  localparam int FOLD = int'(CHANNELS / SIMD);
  localparam int LINE = int'(WIDTH) * FOLD;
  localparam int OUT_H = (int'(HEIGHT) + 2 * P - K) / S + 1;
  localparam int OUT_W = (int'(WIDTH) + 2 * P - K) / S + 1;
  localparam int DEPTH = int'(ROWS) * LINE;

  // Steps from a tap to the next one: in a patch row, to its next row, to the next patch, to the
  // next row of patches, to the next frame.
  localparam int PATCH = (K - 1) * LINE + K * FOLD - 1;  // from its first to its last tap
  localparam int STEP_LINE = LINE - K * FOLD + 1;
  localparam int STEP_PATCH = S * FOLD - PATCH;
  localparam int STEP_ROW = S * LINE - (OUT_W - 1) * S * FOLD - PATCH;
  localparam int STEP_FRAME =
      (int'(HEIGHT) - (OUT_H - 1) * S) * LINE - (OUT_W - 1) * S * FOLD - PATCH;
  localparam int ORIGIN = P * (LINE + FOLD);  // the first tap's distance before the first beat

  localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int unsigned POS_BITS = $clog2(DEPTH + (P + S + 1) * (LINE + FOLD)) + 1;
  localparam int unsigned X_BITS = $clog2(WIDTH + 2 * PAD + 1) + 1;
  localparam int unsigned Y_BITS = $clog2(HEIGHT + 2 * PAD + 1) + 1;
  localparam int unsigned FOLD_BITS = FOLD > 1 ? $clog2(FOLD) : 1;
  localparam int unsigned TAP_BITS = K > 1 ? $clog2(K) : 1;
  localparam int LAST_X = (OUT_W - 1) * S - P + K - 1;  // of the last tap of the last patch
  localparam int LAST_Y = (OUT_H - 1) * S - P + K - 1;
  localparam int TOP_Y = (OUT_H - 1) * S > P ? (OUT_H - 1) * S - P : 0;  // rows freed before

  logic [FOLD_BITS-1:0] f;
  logic [TAP_BITS-1:0] kx, ky;
  logic [X_BITS-1:0] x;  // of the tap, negative in the padding, two's complement
  logic [Y_BITS-1:0] y;
  wire logic last_f = f == FOLD_BITS'(FOLD - 1);
  wire logic last_kx = last_f && kx == TAP_BITS'(K - 1);
  wire logic last_ky = last_kx && ky == TAP_BITS'(K - 1);
  wire logic last_patch = last_ky && x == X_BITS'(LAST_X);
  wire logic last_row = last_patch && y == Y_BITS'(LAST_Y);

  // What the step after this tap changes.
  logic first;  // at the first tap of a frame, which waits for the first input beat
  logic [ADDR_BITS:0] step_addr;  // modulo DEPTH, less DEPTH
  logic [POS_BITS-1:0] step_pos, freed;
  logic [X_BITS-1:0] step_x;
  logic [Y_BITS-1:0] step_y;
  function automatic logic [ADDR_BITS:0] ring(input int step);
    ring = (ADDR_BITS + 1)'((step % DEPTH + DEPTH) % DEPTH - DEPTH);
  endfunction
  always_comb begin
    step_addr = ring(1);
    step_pos  = first ? POS_BITS'(1 - ORIGIN) : POS_BITS'(1);
    freed     = '0;
    step_x    = last_f ? X_BITS'(1) : '0;
    step_y    = '0;
    if (last_kx) begin
      step_addr = ring(STEP_LINE);
      step_pos  = POS_BITS'(STEP_LINE);
      step_x    = X_BITS'(1 - K);
      step_y    = Y_BITS'(1);
    end
    if (last_ky) begin
      step_addr = ring(STEP_PATCH);
      step_pos  = POS_BITS'(STEP_PATCH);
      step_x    = X_BITS'(S - K + 1);
      step_y    = Y_BITS'(1 - K);
    end
    if (last_patch) begin
      step_addr = ring(STEP_ROW);
      step_pos  = POS_BITS'(STEP_ROW);
      step_x    = X_BITS'(-P - LAST_X);
      step_y    = Y_BITS'(S - K + 1);
      if ($signed(y) >= $signed(Y_BITS'(K - 1))) freed = POS_BITS'(S * LINE);
      else if ($signed(y) > $signed(Y_BITS'(K - 1 - S))) freed = POS_BITS'((S - P % S) * LINE);
    end
    if (last_row) begin
      step_addr = ring(STEP_FRAME);
      step_pos  = POS_BITS'(STEP_FRAME + ORIGIN);
      step_y    = Y_BITS'(-P - LAST_Y);
      freed     = POS_BITS'((int'(HEIGHT) - TOP_Y) * LINE);
    end
  end

  logic [ADDR_BITS-1:0] write_addr, read_addr;
  logic [POS_BITS-1:0] ahead;  // beats written behind the one that is shown next, or negative
  logic [POS_BITS-1:0] room;   // free places but one, negative when there is none
  wire logic push = s_valid_i && s_ready_o;
  wire logic padding = PAD != 0 && (x >= X_BITS'(WIDTH) || y >= Y_BITS'(HEIGHT));
  wire logic shown = !ahead[POS_BITS-1] || (padding && !first);
  wire logic en = m_ready_i || !m_valid_o;
  wire logic fire = en && shown;
  assign s_ready_o = !room[POS_BITS-1];

  wire logic [ADDR_BITS:0] wrapped = {1'b0, read_addr} + step_addr;
  wire logic [ADDR_BITS-1:0] next_addr =
      wrapped[ADDR_BITS] ? wrapped[ADDR_BITS-1:0] + ADDR_BITS'(DEPTH) : wrapped[ADDR_BITS-1:0];
  wire logic [POS_BITS-1:0] passed = fire ? step_pos : '0;
  wire logic [POS_BITS-1:0] given = fire ? freed : '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o  <= 1'b0;
      first      <= 1'b1;
      f          <= '0;
      kx         <= '0;
      ky         <= '0;
      x          <= X_BITS'(-P);
      y          <= Y_BITS'(-P);
      write_addr <= '0;
      read_addr  <= ADDR_BITS'((DEPTH - ORIGIN % DEPTH) % DEPTH);
      ahead      <= '1;
      room       <= POS_BITS'(DEPTH - 1);
    end else begin
      if (en) m_valid_o <= shown;
      if (push) write_addr <= write_addr == ADDR_BITS'(DEPTH - 1) ? '0 : write_addr + 1'b1;
      ahead <= ahead - passed + POS_BITS'(push);
      room  <= room + given - POS_BITS'(push);
      if (fire) begin
        first     <= last_row;
        f         <= last_f ? '0 : f + 1'b1;
        x         <= x + step_x;
        y         <= y + step_y;
        read_addr <= next_addr;
        if (last_f) kx <= last_kx ? '0 : kx + 1'b1;
        if (last_kx) ky <= last_ky ? '0 : ky + 1'b1;
      end
    end
  end

  // The padding is the read register's synchronous reset value. No shown beat is being written.
  wire logic [SIMD*BITS-1:0] blank = {SIMD{BITS'(PAD_VALUE)}};
  if (BLOCK != 0) begin : gen_block
    (* ram_style = "block" *) logic [SIMD*BITS-1:0] ram[DEPTH];
    always_ff @(posedge clk_i) begin
      if (push) ram[write_addr] <= s_data_i;
      if (en) m_data_o <= padding ? blank : ram[read_addr];
    end
  end else begin : gen_lutram
    (* ram_style = "distributed" *) logic [SIMD*BITS-1:0] ram[DEPTH];
    always_ff @(posedge clk_i) begin
      if (push) ram[write_addr] <= s_data_i;
      if (en) m_data_o <= padding ? blank : ram[read_addr];
    end
  end
endmodule

`default_nettype wire
