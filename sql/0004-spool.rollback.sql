DROP TABLE pools;
DROP TABLE take_overs;
DROP TABLE intake_spool;
