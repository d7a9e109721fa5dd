//! `cargo bench -p srt-plan`: reading and planning recipes, without files and terminals.

use std::{collections::BTreeMap, fs, hint::black_box, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use srt_context::{JobId, Surroundings};
use srt_plan::{PlannedVariant, json, plan, preview_allocation};
use srt_schema::{LoadRequest, Loaded, Variant, cluster::ClusterConfig, load};
use srt_yaml::Source;

fn recipes(folder: &str) -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let entries = fs::read_dir(folder).expect("the fixtures lie beside the crates");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| Source {
        path: path.display().to_string(),
        text: fs::read_to_string(path).expect("a fixture is readable text"),
    };
    paths.iter().map(read).collect()
}

fn read(recipe: &Source) -> Loaded {
    load(&LoadRequest { recipe, cluster: None, selector: None, set: &[], unset: &[] })
}

fn planned<'a>(variants: &'a [Variant], cluster: &ClusterConfig) -> Vec<PlannedVariant<'a>> {
    let job_id = JobId::new("1").expect("a digit names a job");
    let surroundings = Surroundings {
        variables: BTreeMap::new(),
        home: None,
        current_dir: "/recipes".to_owned(),
        run_dir: "/runs/1".to_owned(),
        local: false,
    };
    let plan = |variant: &'a Variant| {
        let allocation = preview_allocation(&variant.recipe, &job_id);
        let plan =
            plan(&variant.recipe, cluster, &allocation, &surroundings).expect("a fixture can be planned");
        PlannedVariant { variant, plan }
    };
    variants.iter().map(plan).collect()
}

fn bench(criterion: &mut Criterion) {
    let recipes = [recipes("recipes"), recipes("corpus")].concat();
    let loaded: Vec<Loaded> = recipes.iter().map(read).collect();
    let variants: usize = loaded.iter().map(|loaded| loaded.variants.len()).sum();

    let mut group = criterion.benchmark_group("example recipes");
    group.throughput(Throughput::Elements(variants as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| recipes.iter().map(|recipe| black_box(read(recipe)).variants.len()).sum::<usize>());
    });
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let plans =
                loaded.iter().map(|loaded| black_box(planned(&loaded.variants, &loaded.cluster)).len());
            plans.sum::<usize>()
        });
    });
    let plans: Vec<_> = loaded.iter().map(|loaded| planned(&loaded.variants, &loaded.cluster)).collect();
    group.bench_function("write JSON", |bencher| {
        bencher.iter(|| {
            let texts = plans.iter().map(|plans| {
                serde_json::to_string(&json::document("recipe.yaml", plans))
                    .expect("a document is JSON")
                    .len()
            });
            texts.sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
