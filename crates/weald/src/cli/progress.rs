//! Progress bars on long work, on standard error and only where a person looks at it.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` steps, or a counter where the total is not known. Hidden unless standard
/// error is a terminal.
pub(crate) fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let template = match total {
        Some(_) => "{msg} [{bar:40}] {human_pos}/{human_len} {eta}",
        None => "{msg} {spinner} {human_pos} {elapsed}",
    };
    let style = ProgressStyle::with_template(template).expect("the templates above parse");
    let bar = ProgressBar::with_draw_target(total, target).with_style(style).with_message(what);
    if total.is_none() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
