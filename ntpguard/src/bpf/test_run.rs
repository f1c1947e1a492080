//! BPF_PROG_TEST_RUN: runs the program on a frame without a network.

use anyhow::{Result, bail, ensure};
use aya::{TestRunOptions, TestRunResult, programs::Program};
use ntpguard_common::Action;
use std::time::Duration;

/// The result of a test run.
#[derive(Clone, Debug)]
pub struct TestRun {
    /// What becomes of the frame.
    pub action: Action,
    /// The mean duration of a run, in whole nanoseconds.
    pub duration: Duration,
    /// The frame after the run.
    pub frame: Vec<u8>,
}

/// Runs a program `repeat` times on a frame. `linear` is the length of the first buffer, if it is to be chosen.
pub(super) fn test_run(program: &Program, frame: &[u8], repeat: u32, linear: Option<u32>) -> Result<TestRun> {
    match program {
        Program::Xdp(program) => {
            // struct xdp_md: data, data_end, then four words that must be zero.
            let context = linear.map(|length| {
                let mut context = [0; 24];
                context[4..8].copy_from_slice(&length.to_ne_bytes());
                context
            });
            let context = context.as_ref().map(<[u8; 24]>::as_slice);
            run(program, frame, repeat, context, |value| match value {
                1 => Some(Action::Drop),
                2 => Some(Action::Pass),
                3 => Some(Action::Transmit),
                _ => None,
            })
        }
        Program::SchedClassifier(program) => {
            ensure!(linear.is_none(), "a test run of a tc program has the frame in one piece");
            // TC_ACT_UNSPEC and TC_ACT_SHOT.
            run(program, frame, repeat, None, |value| match value as i32 {
                -1 => Some(Action::Pass),
                2 => Some(Action::Drop),
                _ => None,
            })
        }
        _ => bail!("the program is neither XDP's nor tc's"),
    }
}

fn run<P>(
    program: &P,
    frame: &[u8],
    repeat: u32,
    context: Option<&[u8]>,
    action: impl Fn(u32) -> Option<Action>,
) -> Result<TestRun>
where
    P: for<'a> aya::TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    // Large enough: a kiss is as long as its request.
    let mut out = vec![0; frame.len()];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: context,
        repeat,
        ..Default::default()
    };
    let result = program.test_run(options)?;
    let Some(action) = action(result.return_value) else {
        bail!("the program answered {}", result.return_value as i32);
    };
    Ok(TestRun { action, duration: result.duration, frame: out })
}
