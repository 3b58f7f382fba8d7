//! Two matmuls of which the second's operand is the first's result.
//!
//! A block of the first's results is quantised while it lies in the second-level cache, so what goes
//! through memory between them is a byte an element where it would be four, written and read thrice.
//! The second starts when the first is done: all of the first's weights fit the second-level cache,
//! those of both do not.

use rayon::prelude::*;

use super::*;

/// x += down(up(norm(x))), whose operands have been checked.
pub(in super::super) struct FeedForward<'a> {
    pub(in super::super) level: Level,
    pub(in super::super) up: &'a PackedWeights,
    pub(in super::super) down: &'a PackedWeights,
    pub(in super::super) norm: Norm<'a>,
    pub(in super::super) rows: usize,
    pub(in super::super) narrow: bool,
}

impl FeedForward<'_> {
    /// Runs it on the current pool.
    pub(in super::super) fn run(&self, x: &mut [f32], workspace: &mut Workspace) {
        let Self { level, up, down, norm, rows, .. } = *self;
        if rows == 0 {
            return;
        }
        match down.spec().numeric {
            // One scale for all is known when all results are.
            Numeric::I8 { activations: Scaling::PerTensor } => self.one_by_one(x, workspace),
            // Rows are divided alike for both.
            numeric if numeric != up.spec().numeric => self.one_by_one(x, workspace),
            _ => {
                let (mut between, mut scales) = (
                    std::mem::take(&mut workspace.between),
                    std::mem::take(&mut workspace.between_scales),
                );
                let form = Form::of(level, down.spec());
                let bytes = between.get::<u8>(form.bytes(rows));
                let row_scales = scales.get::<f32>(rows);
                let a = Rows { elements: &*x, stride: up.spec().k };
                let raw = Raw { rows: a, norm: Some(norm), scaling: Scales::OfRows };
                self.first(raw, form, bytes, row_scales, workspace);
                self.second(bytes, row_scales, x, workspace);
                (workspace.between, workspace.between_scales) = (between, scales);
            }
        }
    }

    fn first(
        &self,
        raw: Raw<'_>,
        next: Form,
        bytes: &mut [u8],
        scales: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let Self { level, up: weights, rows, narrow, .. } = *self;
        let plan = Plan::new(level, weights, narrow, rows).for_operand();
        let task = plan.task;
        bytes
            .par_chunks_mut(next.bytes(task).max(1))
            .zip(scales.par_chunks_mut(task))
            .zip(plan.scratch(workspace))
            .enumerate()
            .for_each(|(i, ((bytes, scales), scratch))| {
                let rows = scales.len();
                let sink = Sink::Operand { form: next, bytes, scales };
                plan.run(Source::Raw(raw), i * task, rows, sink, scratch);
            });
    }

    fn second(&self, bytes: &[u8], scales: &[f32], x: &mut [f32], workspace: &mut Workspace) {
        let Self { level, down: weights, rows, narrow, .. } = *self;
        let n = weights.spec().n;
        let plan = Plan::new(level, weights, narrow, rows);
        let task = plan.task;
        x.par_chunks_mut(task * n).zip(plan.scratch(workspace)).enumerate().for_each(
            |(i, (c, scratch))| {
                let rows = c.len() / n;
                let (source, sink) = (Source::Ready(bytes, scales), Sink::Rows { c, add: true });
                plan.run(source, i * task, rows, sink, scratch);
            },
        );
    }

    fn one_by_one(&self, x: &mut [f32], workspace: &mut Workspace) {
        let Self { level, up, down, norm, rows, narrow } = *self;
        let (k, n) = (up.spec().k, up.spec().n);
        let mut between = std::mem::take(&mut workspace.between);
        let results = between.get::<f32>(rows * n);
        let a = Rows { elements: &*x, stride: k };
        let first = Matmul {
            level,
            weights: up,
            a,
            rows,
            norm: Some(norm),
            scales: None,
            output: Output::Store,
            narrow,
        };
        first.run(results, workspace);
        let a = Rows { elements: &*results, stride: n };
        let output = Output::Add;
        Matmul { level, weights: down, a, rows, norm: None, scales: None, output, narrow }
            .run(x, workspace);
        workspace.between = between;
    }
}
