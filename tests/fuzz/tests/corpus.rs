//! Replays the seeds, and what fuzzing left: inputs that reach code no other does, and every
//! finding. Then as many random inputs and changes to them as a test has time for.

use std::path::Path;

use armour_fuzz::TARGETS;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

#[test]
fn every_input_of_the_corpus_holds() {
    for (name, target, seeds) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs = seeds();
        if folder.exists() {
            let files = std::fs::read_dir(&folder).unwrap();
            inputs.extend(files.map(|file| std::fs::read(file.unwrap().path()).unwrap()));
        }
        assert!(!inputs.is_empty(), "neither seeds nor a corpus of {name}");
        inputs.sort();
        inputs.iter().for_each(|input| target(input));
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..2_000 {
            let mut input = inputs[rng.random_range(0..inputs.len())].clone();
            for _ in 0..rng.random_range(0..4) {
                if input.is_empty() {
                    break;
                }
                let place = rng.random_range(0..input.len());
                input[place] = rng.random();
            }
            target(&input);
            let mut random = vec![0; rng.random_range(0..300)];
            rng.fill_bytes(&mut random);
            target(&random);
        }
        println!("{name}: {} inputs of the corpus", inputs.len());
    }
}
