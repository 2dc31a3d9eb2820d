//! How often a row of such a score lies in a labelled window: the table that tells what a score is worth.

use crate::corpus::File;

const BINS: usize = 10;

pub(crate) fn print<'a>(all: impl Iterator<Item = (&'a File, &'a [f64])>) {
    let mut counts = [(0_usize, 0_usize); BINS];
    for (file, score) in all {
        for (row, score) in score.iter().enumerate().skip(file.skip) {
            let bin = &mut counts[((score * BINS as f64) as usize).min(BINS - 1)];
            bin.0 += 1;
            bin.1 += usize::from(file.windows.iter().any(|&(from, to)| from <= row && row <= to));
        }
    }
    println!("   score      rows  in a window");
    for (bin, (rows, inside)) in counts.iter().enumerate().filter(|(_, it)| it.0 > 0) {
        let low = bin as f64 / BINS as f64;
        println!("   {low:.1}-{:.1} {rows:8}  {:5.1} %", low + 0.1, 100.0 * *inside as f64 / *rows as f64);
    }
}
