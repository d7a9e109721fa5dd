//! The block of text that people and scripts look for after a point.

use std::fmt::Write as _;

use crate::progress::PointSummary;

const WIDTH: usize = 50;

impl PointSummary {
    /// The block as sa-bench prints it, ending in a newline.
    pub fn console_block(&self) -> String {
        let mut block = String::new();
        title(&mut block, " Serving Benchmark Result ", '=');
        line(&mut block, "Successful requests:", self.completed);
        seconds(&mut block, "Benchmark duration (s):", self.duration_s);
        line(&mut block, "Total input tokens:", self.total_input_tokens);
        line(&mut block, "Total generated tokens:", self.total_output_tokens);
        seconds(&mut block, "Request throughput (req/s):", self.request_rps);
        if let Some(goodput_rps) = self.request_goodput_rps {
            seconds(&mut block, "Request goodput (req/s):", goodput_rps);
        }
        seconds(&mut block, "Output token throughput (tok/s):", self.output_tps);
        seconds(&mut block, "Peak output token throughput (tok/s):", self.peak_output_tps);
        seconds(&mut block, "Total Token throughput (tok/s):", self.total_tps);
        let sections = [
            ("Time to First Token", "TTFT", [self.mean_ttft_ms, self.median_ttft_ms, self.p99_ttft_ms]),
            (
                "Time per Output Token (excl. 1st token)",
                "TPOT",
                [self.mean_tpot_ms, self.median_tpot_ms, self.p99_tpot_ms],
            ),
            ("Inter-token Latency", "ITL", [self.mean_itl_ms, self.median_itl_ms, self.p99_itl_ms]),
            ("End-to-end Latency", "E2EL", [self.mean_e2el_ms, self.median_e2el_ms, self.p99_e2el_ms]),
        ];
        for (name, short, [mean, median, p99]) in sections {
            title(&mut block, name, '-');
            seconds(&mut block, &format!("Mean {short} (ms):"), mean);
            seconds(&mut block, &format!("Median {short} (ms):"), median);
            seconds(&mut block, &format!("P99 {short} (ms):"), p99);
        }
        title(&mut block, "", '=');
        block
    }
}

fn title(block: &mut String, text: &str, fill: char) {
    let left = WIDTH.saturating_sub(text.len()) / 2;
    let right = WIDTH.saturating_sub(text.len() + left);
    block.extend(std::iter::repeat_n(fill, left));
    block.push_str(text);
    block.extend(std::iter::repeat_n(fill, right));
    block.push('\n');
}

fn line(block: &mut String, label: &str, value: impl std::fmt::Display) {
    writeln!(block, "{label:<40} {:<10}", value.to_string()).expect("memory takes any text");
}

fn seconds(block: &mut String, label: &str, value: f64) {
    line(block, label, format_args!("{value:.2}"));
}
