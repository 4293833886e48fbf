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
// Memory: a ring of ROWS slots for rows of WIDTH*CHANNELS/SIMD words; LUTRAM, or block RAM where
// large and deep (BLOCK). The read register takes the padding as its synchronous reset.
// A walk over the taps is one ahead of the output, so that what a tap needs and changes stands in
// registers: two LUT levels and a carry chain from register to register.
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

  // Positions are input beats of the frame; an address is a slot of the ring and a column in it.
  localparam int K = int'(KERNEL);
  localparam int S = int'(STRIDE);
  localparam int P = int'(PAD);
  localparam int H = int'(HEIGHT);
  localparam int W = int'(WIDTH);
  localparam int R = int'(ROWS);
  localparam int FOLD = int'(CHANNELS / SIMD);
  localparam int LINE = W * FOLD;
  localparam int OUT_H = (H + 2 * P - K) / S + 1;
  localparam int OUT_W = (W + 2 * P - K) / S + 1;
  localparam int ORIGIN = P * (LINE + FOLD);  // the first tap's distance before the first beat
  localparam int LAST_X = (OUT_W - 1) * S - P + K - 1;  // of the last tap of the last patch
  localparam int LAST_Y = (OUT_H - 1) * S - P + K - 1;
  localparam int TOP_Y = (OUT_H - 1) * S > P ? (OUT_H - 1) * S - P : 0;  // rows freed before
  localparam int PATCH = (K - 1) * LINE + K * FOLD - 1;  // from its first to its last tap
  localparam int ROW = PATCH + (OUT_W - 1) * S * FOLD;  // and of a row of patches

  // Bits of wrap_counter.sv, which counts up to 0.
  function automatic int unsigned bits(input int n);
    bits = n > 4 ? $clog2(n) + 1 : n > 1 ? $clog2(n) : 1;
  endfunction
  localparam int unsigned TAP_BITS = bits(K);
  localparam int unsigned X_BITS = bits(OUT_W);
  localparam int unsigned Y_BITS = bits(OUT_H);
  localparam int unsigned COL_BITS = bits(LINE);
  localparam int unsigned SLOT_BITS = $clog2(ROWS);
  localparam int unsigned ROW_BITS = $clog2(ROWS + STRIDE + 1);
  localparam int unsigned FREED_BITS = $clog2((H - TOP_Y > S ? H - TOP_Y : S) + 1);
  localparam int unsigned POS_BITS = $clog2(R * LINE + (P + S + 1) * (LINE + FOLD)) + 1;

  // The walk over the taps, one tap ahead of the one that is shown next.
  wire logic [bits(FOLD)-1:0] f;
  wire logic [TAP_BITS-1:0] kx, ky;
  wire logic [X_BITS-1:0] x;  // of the patch
  wire logic [Y_BITS-1:0] y;
  wire logic last_f, last_kx, last_ky, last_x, last_y;
  wire logic line_ends = last_f && last_kx;
  wire logic patch_ends = line_ends && last_ky;
  wire logic row_ends = patch_ends && last_x;
  wire logic frame_ends = row_ends && last_y;
  wire logic walk;
  wrap_counter #(.N(FOLD)) u_f (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(walk), .count_o(f), .last_o(last_f)
  );
  wire logic unused = &{1'b0, f};
  wrap_counter #(.N(K)) u_kx (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(walk && last_f), .count_o(kx), .last_o(last_kx)
  );
  wrap_counter #(.N(K)) u_ky (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(walk && line_ends), .count_o(ky), .last_o(last_ky)
  );
  wrap_counter #(.N(OUT_W)) u_x (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(walk && patch_ends), .count_o(x), .last_o(last_x)
  );
  wrap_counter #(.N(OUT_H)) u_y (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(walk && row_ends), .count_o(y), .last_o(last_y)
  );
  logic first;  // at the first tap of a frame
  always_ff @(posedge clk_i) begin
    if (rst_i) first <= 1'b1;
    else if (walk) first <= frame_ends;
  end

  // Whether the tap lies in the padding, into which few patches reach.
  logic outside;
  always_comb begin
    outside = 1'b0;
    for (int j = 0; j < K; j++) begin
      for (int i = 0; i < OUT_W; i++) begin
        if ((i * S + j < P || i * S + j >= W + P)
            && x == X_BITS'(i + 1 - OUT_W) && kx == TAP_BITS'(j + 1 - K)) outside = 1'b1;
      end
      for (int i = 0; i < OUT_H; i++) begin
        if ((i * S + j < P || i * S + j >= H + P)
            && y == Y_BITS'(i + 1 - OUT_H) && ky == TAP_BITS'(j + 1 - K)) outside = 1'b1;
      end
    end
  end
  // Rows that are given back behind the last tap of a row of patches.
  logic [FREED_BITS-1:0] rows_passed;
  always_comb begin
    rows_passed = FREED_BITS'(S);
    for (int i = 0; i * S < P && i < OUT_H; i++) begin
      if (y == Y_BITS'(i + 1 - OUT_H)) begin
        rows_passed = FREED_BITS'((i + 1) * S > P ? (i + 1) * S - P : 0);
      end
    end
    if (last_y) rows_passed = FREED_BITS'(H - TOP_Y);
  end

  // What the walk says of the tap that is shown next: in the padding, shown without waiting for
  // a beat, rows given back behind it, the step to the tap behind it.
  localparam logic [2:0] NEXT_TAP = 0, FIRST_TAP = 1, NEXT_LINE = 2, NEXT_PATCH = 3;
  localparam logic [2:0] NEXT_ROW = 4;  // and to the next frame: 5
  logic loaded, padding, free;
  logic [FREED_BITS-1:0] freed;
  (* fsm_encoding = "none" *) logic [2:0] step;
  always_ff @(posedge clk_i) begin
    if (rst_i) loaded <= 1'b0;
    else loaded <= 1'b1;
  end
  always_ff @(posedge clk_i) begin
    if (walk) begin
      padding <= outside;
      free    <= outside && !first;
      freed   <= rows_passed & {FREED_BITS{row_ends}};
      step[2] <= row_ends;
      step[1] <= line_ends && !row_ends;
      step[0] <= (row_ends && last_y) || (line_ends && last_ky && !row_ends)
          || (!line_ends && first);
    end
  end

  // A frame's first tap waits for its first beat; all others for the beat they show.
  logic [POS_BITS-1:0] ahead;      // beats written behind the one that is shown next, or negative
  logic [ROW_BITS-1:0] rows_free;  // from the one that is being written on
  wire logic [COL_BITS-1:0] write_col;
  logic [COL_BITS-1:0] read_col;
  (* fsm_encoding = "none" *) logic [SLOT_BITS-1:0] write_slot, read_slot;
  assign s_ready_o = rows_free != '0;
  wire logic push = s_valid_i && s_ready_o;
  wire logic last_col;
  wire logic row_written = push && last_col;
  wrap_counter #(.N(LINE)) u_col (
      .clk_i(clk_i), .rst_i(rst_i), .en_i(push), .count_o(write_col), .last_o(last_col)
  );
  wire logic en = m_ready_i || !m_valid_o;
  wire logic shown = loaded && (!ahead[POS_BITS-1] || free);
  wire logic fire = en && shown;
  assign walk = fire || !loaded;

  // Every step is a table by what decides it, which an adder takes into its own LUTs.
  function automatic logic [SLOT_BITS-1:0] moved(input logic [SLOT_BITS-1:0] slot, input int by);
    moved = '0;
    for (int i = 0; i < R; i++) begin
      if (slot == SLOT_BITS'(i)) moved = SLOT_BITS'(((i + by) % R + R) % R);
    end
  endfunction
  function automatic logic [POS_BITS-1:0] left(input logic more, input int passed);
    left = more ? POS_BITS'(1 - passed) : POS_BITS'(-passed);
  endfunction
  logic [POS_BITS-1:0] ahead_step;
  logic [COL_BITS-1:0] col_step;
  logic [SLOT_BITS-1:0] next_slot;
  always_comb begin
    ahead_step = left(push, 1);
    col_step   = COL_BITS'(1);
    next_slot  = read_slot;
    case (step)
      NEXT_TAP: ;
      FIRST_TAP: ahead_step = left(push, 1 - ORIGIN);
      NEXT_LINE: begin
        ahead_step = left(push, LINE - K * FOLD + 1);
        col_step   = COL_BITS'(1 - K * FOLD);
        next_slot  = moved(read_slot, 1);
      end
      NEXT_PATCH: begin
        ahead_step = left(push, S * FOLD - PATCH);
        col_step   = COL_BITS'((S - K) * FOLD + 1);
        next_slot  = moved(read_slot, 1 - K);
      end
      NEXT_ROW: begin
        ahead_step = left(push, S * LINE - ROW);
        col_step   = COL_BITS'(1 - (P + LAST_X + 1) * FOLD);
        next_slot  = moved(read_slot, S - K + 1);
      end
      default: begin
        ahead_step = left(push, (H - (OUT_H - 1) * S) * LINE - ROW + ORIGIN);
        col_step   = COL_BITS'(1 - (P + LAST_X + 1) * FOLD);
        next_slot  = moved(read_slot, H - P - LAST_Y);
      end
    endcase
    if (!fire) ahead_step = POS_BITS'(push);
  end
  logic [ROW_BITS-1:0] free_step;
  always_comb begin
    free_step = ROW_BITS'(0) - ROW_BITS'(row_written);
    for (int i = 1; i < 2 ** FREED_BITS; i++) begin
      if (fire && freed == FREED_BITS'(i)) free_step = ROW_BITS'(row_written ? i - 1 : i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      m_valid_o  <= 1'b0;
      write_slot <= '0;
      read_col   <= COL_BITS'(1 - LINE - P * FOLD);
      read_slot  <= moved('0, -P);
      ahead      <= '1;
      rows_free  <= ROW_BITS'(ROWS);
    end else begin
      if (en) m_valid_o <= shown;
      if (row_written) write_slot <= moved(write_slot, 1);
      ahead     <= ahead + ahead_step;
      rows_free <= rows_free + free_step;
      if (fire) begin
        read_col  <= read_col + col_step;
        read_slot <= next_slot;
      end
    end
  end

  // A slot takes a power of two of words where that makes the memory no larger.
  localparam int PITCH = 2 ** $clog2(LINE);
  localparam int GRAIN = BLOCK != 0 ? 512 : R * LINE > 32 ? 64 : 32;
  localparam int unsigned ALIGNED =
      (R * PITCH + GRAIN - 1) / GRAIN == (R * LINE + GRAIN - 1) / GRAIN ? 1 : 0;
  localparam int unsigned DEPTH = ALIGNED != 0 ? R * PITCH : R * LINE;
  localparam int unsigned ADDR_BITS = $clog2(DEPTH);
  function automatic logic [ADDR_BITS-1:0] place(
      input logic [SLOT_BITS-1:0] slot, input logic [COL_BITS-1:0] col);
    place = '0;
    for (int i = 0; i < R; i++) begin
      if (slot == SLOT_BITS'(i)) begin
        place = ALIGNED != 0 ? ADDR_BITS'(i * PITCH) : ADDR_BITS'((i + 1) * LINE - 1);
      end
    end
    if (ALIGNED != 0) place = place | (ADDR_BITS'(col) & ADDR_BITS'(PITCH - 1));
    else place = ADDR_BITS'($signed(col)) + place;
  endfunction
  wire logic [ADDR_BITS-1:0] write_addr = place(write_slot, write_col);
  wire logic [ADDR_BITS-1:0] read_addr = place(read_slot, read_col);

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
