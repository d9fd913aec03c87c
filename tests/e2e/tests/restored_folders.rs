//! Data folders that are put back to an earlier state: what the documentation says of them
//! happens, and nobody else is accused.

use armour_api::{Collision, CollisionKind, Endpoint, EndpointState, Role};
use armour_e2e::{
    process::{Process, until},
    system::{System, brisk},
    thief::copy,
};

const ROLES: [Role; 2] = [Role::Consumer, Role::Producer];

fn agent(system: &mut System, role: Role) -> &mut Process {
    match role {
        Role::Consumer => &mut system.consumer,
        Role::Producer => &mut system.producer,
    }
}

/// Copies an agent's folder as it is now.
fn back_up(system: &System, role: Role) {
    let at = system.folder();
    let backup = at.join(format!("{}-backup", role.into_str()));
    copy(&at.join(role.into_str()), &backup).unwrap();
}

/// Stops the agent, puts the copy in its folder's place and starts it again.
async fn restore(system: &mut System, role: Role) {
    agent(system, role).stop().await.unwrap();
    let folder = system.folder().join(role.into_str());
    std::fs::remove_dir_all(&folder).unwrap();
    let backup = folder.with_file_name(format!("{}-backup", role.into_str()));
    copy(&backup, &folder).unwrap();
    agent(system, role).start_again().unwrap();
}

async fn draw_anew(system: &System) {
    let why = "another bundle";
    system
        .operator
        .disconnect_pair(system.pair, why)
        .await
        .unwrap();
    system.operator.re_arm(system.pair, why).await.unwrap();
    system.until_served().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_last_start_goes_on_though_bundles_were_drawn_since() {
    let mut system = System::start(brisk()).await.unwrap();
    for role in ROLES {
        back_up(&system, role);
        draw_anew(&system).await;
        draw_anew(&system).await;
        restore(&mut system, role).await;
        system.until_served().await.unwrap();
        // And its next start goes back to this one.
        agent(&mut system, role).restart().await.unwrap();
        system.until_served().await.unwrap();
        assert_eq!(system.all_collisions().await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_an_earlier_start_ends_its_own_endpoint_and_nobody_elses() {
    for role in ROLES {
        let mut system = System::start(brisk()).await.unwrap();
        back_up(&system, role);
        agent(&mut system, role).restart().await.unwrap();
        system.until_served().await.unwrap();
        restore(&mut system, role).await;
        // Its counter was used: two folders of one endpoint, which is what a thief's is, too.
        agent(&mut system, role).until_out().await.unwrap();
        let log = agent(&mut system, role).log().unwrap();
        assert!(log.contains("enrol it anew, in an empty folder"), "{log}");
        let collisions: Vec<Collision> = system.all_collisions().await.unwrap();
        let found: Vec<_> = collisions.iter().map(|one| (one.role, one.kind)).collect();
        assert_eq!(found, [(role, CollisionKind::Start)]);
        for endpoint in system.all::<Endpoint>("/v1/endpoints?").await.unwrap() {
            let own = endpoint.role == role;
            assert_eq!(endpoint.state == EndpointState::Collided, own);
        }
        system.enrol_again(role).await.unwrap();
        system.until_served().await.unwrap();
        assert_eq!(system.collisions().await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_lost_is_refused_until_it_enrols_anew() {
    let mut system = System::start(brisk()).await.unwrap();
    for role in ROLES {
        agent(&mut system, role).stop().await.unwrap();
        std::fs::remove_dir_all(system.folder().join(role.into_str())).unwrap();
        agent(&mut system, role).start_again().unwrap();
        // Its token was used by the endpoint that it was.
        system.enrol_again(role).await.unwrap();
        let log = agent(&mut system, role).log().unwrap();
        assert!(log.contains("Error: enrol"), "{log}");
        system.until_served().await.unwrap();
        assert_eq!(system.all_collisions().await.unwrap(), []);
    }
}

/// The keys alone are as old as the endpoint; starts that were made since are not in there.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_keys_alone_accuses_nobody_else() {
    for role in ROLES {
        let mut system = System::start(brisk()).await.unwrap();
        agent(&mut system, role).stop().await.unwrap();
        let folder = system.folder().join(role.into_str());
        for name in ["starts", "endpoint.json", "draws"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
        agent(&mut system, role).start_again().unwrap();
        agent(&mut system, role).until_out().await.unwrap();
        let collisions: Vec<Collision> = system.all_collisions().await.unwrap();
        assert!(
            collisions.iter().all(|one| one.role == role),
            "{collisions:?}"
        );
        system.enrol_again(role).await.unwrap();
        until("a call", || async {
            system.get("/echo?id=again").await.is_ok()
        })
        .await
        .unwrap();
    }
}
